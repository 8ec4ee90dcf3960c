"""What is made beside servers while a revision is tried, line by line; UPDATE_GOLDEN=1 writes it anew."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

from tests.snapshot.test_golden import GOLDEN, MODELS, as_text
from tests.support.builders import serving

from llama_operator.render import render, revision
from llama_operator.render.inputs import Canary, Served

Object = dict[str, Any]
ROUTE: Object = {"httpRoute": {"parentRefs": [{"name": "public"}]}}


def objects(canary: Canary | None) -> list[Object]:
    wish = replace(serving(replicas=2, endpoint=ROUTE), gateway=Served(route=True))
    return render.serving_objects(replace(wish, canary=canary), revision.template(wish))


def tried(percent: int) -> Canary:
    other = serving(replicas=2, endpoint=ROUTE, engine={"args": ["--seed=1"]})
    return Canary(revision.template(other), percent)


def test_a_canary_renders_as_committed() -> None:
    plain = objects(None)
    changed = [each for each in objects(tried(20)) if each not in plain]
    text, golden = as_text("True Fits", changed), GOLDEN / "parts" / "canary.yaml"
    if os.environ.get("UPDATE_GOLDEN"):
        golden.write_text(text)
    assert text == golden.read_text()
    assert [(each["kind"], each["metadata"]["name"]) for each in changed] == [
        ("NetworkPolicy", "web"),
        ("Service", "web-canary"),
        ("Deployment", "web-canary"),
        ("HTTPRoute", "web"),
    ], "neither the Deployment nor the Service of the others is another one"


def test_without_a_share_the_route_is_as_without_a_canary() -> None:
    (route,) = (each for each in objects(tried(0)) if each["kind"] == "HTTPRoute")
    assert route in objects(None)


def test_its_pod_is_that_of_its_revision_but_for_one_label() -> None:
    canary = tried(20)
    made = next(each for each in objects(canary) if each["metadata"]["name"] == "web-canary"
                and each["kind"] == "Deployment")["spec"]["template"]  # fmt: skip
    assert made["spec"] == canary.template["spec"]
    assert made["metadata"]["annotations"] == canary.template["metadata"]["annotations"]
    differs = set(made["metadata"]["labels"].items()) ^ set(
        canary.template["metadata"]["labels"].items()
    )
    assert {key for key, _ in differs} == {"app.kubernetes.io/component"}


def test_what_is_rendered_is_valid_for_the_typed_models() -> None:
    for each in objects(tried(20)):
        if each["kind"] != "HTTPRoute":
            MODELS[each["kind"]].model_validate(each)

"""Servers behind KServe: what stands in the InferenceService, and what KServe makes of it."""

from __future__ import annotations

import copy
from dataclasses import replace
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest
from tests.support.builders import serving
from tests.support.kserve import played

from llama_operator.api import labels
from llama_operator.api.template import INFERENCE, kind_of, server_template
from llama_operator.diagnose.template import stamp
from llama_operator.reconcile import mounts
from llama_operator.reconcile.ownership import changed
from llama_operator.render import render, revision
from llama_operator.render.inputs import Replacing

Object = dict[str, Any]


def made(how: Replacing | None = None, **spec: Any) -> Object:
    wish = serving(backend="kserve", **spec)
    objects = render.serving_objects(wish, None, how or Replacing())
    (found,) = [obj for obj in objects if obj["kind"] == INFERENCE]
    assert not [obj for obj in objects if obj["kind"] == "Deployment"]
    return found


def live(service: Object) -> Object:
    """As the API server and KServe's webhook hold it."""
    found = played.defaulted(service)
    found["metadata"]["uid"] = "uid-of-the-service"
    return found


def pod_of(service: Object) -> Object:
    """The template of the pods that KServe makes."""
    return dict(played.deployment(live(service))["spec"]["template"])


def engine(template: Object) -> Object:
    (found,) = template["spec"]["containers"]
    return dict(found)


DIFFERENT: Object = {"name": "", "resources": {}, "command": [], "env": []}


def test_the_pod_is_that_of_a_native_server_but_for_name_start_and_limits() -> None:
    native = revision.template(serving())
    ours = revision.template(serving(backend="kserve"))
    assert (kind_of(native), kind_of(ours)) == ("Deployment", INFERENCE)
    box, plain = engine(ours), engine(native)
    assert box["name"] == "kserve-container"
    assert {**box, **DIFFERENT} == {**plain, **DIFFERENT}
    assert box["resources"]["requests"] == plain["resources"]["requests"]
    assert {**ours["spec"], "containers": []} == {**native["spec"], "containers": []}


@pytest.mark.parametrize("kind", ["vllm", "transformers"])
def test_the_guard_is_found_without_the_variable_that_kserve_refuses(kind: str) -> None:
    spec: Object = {"engine": {"type": kind}}
    plain = engine(revision.template(serving(**spec)))
    box = engine(revision.template(serving(backend="kserve", **spec)))
    variables = {each["name"]: each for each in plain["env"]}
    path = variables.pop("PYTHONPATH")["value"]
    assert [each["name"] for each in box["env"]] == list(variables)
    python, flag, code, *words = box["command"]
    assert (python, flag, words) == ("python3", "-c", ["serve"] if kind == "vllm" else [])
    called: list[str] = []
    world: Object = {"sys": SimpleNamespace(path=["site"], argv=["-c", "told"], exit=called.append)}
    module = SimpleNamespace(main=lambda *given: " ".join(("ran", *given)))
    lines = code.replace("import sys\n", "").splitlines()
    with mock.patch("builtins.__import__", lambda *_: module):
        exec("\n".join(lines), world)  # noqa: S102 - it is our own
    assert world["sys"].path == [*path.split(":"), "site"]
    assert called == (["ran"] if kind == "vllm" else [])


def test_kserve_sets_no_limit_that_a_server_could_reach() -> None:
    """Where one is missing it sets 1 CPU and 2 Gi, which is less than a server asks for."""
    bare = copy.deepcopy(made())
    bare["spec"]["predictor"]["containers"][0]["resources"].pop("limits")
    assert engine(pod_of(bare))["resources"]["limits"]["memory"] == "2Gi"
    found = engine(pod_of(made()))["resources"]
    assert found["limits"] == engine({"spec": made()["spec"]["predictor"]})["resources"]["limits"]
    assert int(found["limits"]["cpu"]) == 4 * int(found["requests"]["cpu"])
    own = {"limits": {"memory": "300Gi"}}
    asked = engine(pod_of(made(engine={"resources": own})))["resources"]["limits"]
    assert asked["memory"] == "300Gi"
    assert "cpu" in asked


def test_pods_carry_our_labels_and_one_stamp() -> None:
    service = made()
    meta = pod_of(service)["metadata"]
    assert meta["labels"][labels.DEPLOYMENT] == "web"
    assert meta["labels"][labels.COMPONENT] == labels.SERVER
    assert stamp(pod_of(service)) == stamp(server_template(service))
    assert stamp(service) != stamp(server_template(service)), "two stamps of two things"


@pytest.mark.parametrize(
    ("first", "then"),
    [
        (Replacing(record="one"), Replacing(record="another")),
        (Replacing(surge=1, unavailable=0, record="x"), Replacing(surge=0, record="y")),
    ],
)
def test_what_is_noted_on_the_service_restarts_no_pod(first: Replacing, then: Replacing) -> None:
    """KServe copies the annotations of the InferenceService to its pods."""
    one, other = made(first), made(then)
    assert one["metadata"]["annotations"] != other["metadata"]["annotations"]
    assert pod_of(one) == pod_of(other)


def test_replicas_and_the_canarys_share_restart_no_pod() -> None:
    one, other = made(), made(replicas=3, rollout={"canaryPercent": 20})
    assert pod_of(one) == pod_of(other)
    predictor = other["spec"]["predictor"]
    assert predictor["canaryTrafficPercent"] == 20
    assert "canaryTrafficPercent" not in one["spec"]["predictor"]
    assert (predictor["minReplicas"], predictor["maxReplicas"]) == (3, 3)


@pytest.mark.parametrize("replicas", [0, 1, 5])
def test_kserves_deployment_has_our_number_of_replicas(replicas: int) -> None:
    service = made(replicas=replicas)
    assert played.deployment(live(service))["spec"]["replicas"] == replicas
    # 0 is left out by KServe when it writes, and would be asked for again for ever.
    assert service["spec"]["predictor"]["maxReplicas"] >= 1


def test_the_strategy_is_that_of_the_rollout() -> None:
    service = made(Replacing(surge=2, unavailable=0))
    rolling = played.deployment(live(service))["spec"]["strategy"]["rollingUpdate"]
    assert rolling == {"maxSurge": 2, "maxUnavailable": 0}


def test_what_kserves_webhook_adds_is_not_taken_back() -> None:
    service = made()
    assert live(service) != service
    assert not changed(service, live(service))
    other = copy.deepcopy(live(service))
    other["metadata"]["annotations"][played.SCALER] = "hpa"
    assert changed(service, other)


def test_weights_are_our_own_volume_read_only_below_their_directory() -> None:
    wish = serving(backend="kserve")
    service = made()
    place = f"default/{wish.weights.claim}/{wish.weights.path}"
    assert mounts.of_server(service) == [place]
    assert mounts.of_server(played.deployment(live(service))) == [place]
    assert "storageUris" not in service["spec"]["predictor"]


def test_a_revision_of_a_native_server_has_another_name_and_that_of_old_ones_stays() -> None:
    wish = serving()
    kept = revision.inputs_of(wish.spec, wish.weights)
    other = serving(backend="kserve")
    assert revision.inputs_of(other.spec, other.weights) != kept
    said = replace(wish, spec=serving(backend="native").spec)
    assert revision.inputs_of(said.spec, wish.weights) == kept


def test_the_queue_of_kueue_reaches_the_deployment() -> None:
    service = made(scheduling={"queueName": "gpus"})
    assert played.deployment(live(service))["metadata"]["labels"][labels.QUEUE] == "gpus"

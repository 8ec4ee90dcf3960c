"""Servers behind KServe: what stands in the LLMInferenceService, and which pods KServe makes of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.support.builders import serving
from tests.support.kserve import played_llm

from llama_operator.api import gotemplate, labels
from llama_operator.api.template import (
    LLM_INFERENCE,
    kind_of,
    replicas_of,
    server_template,
)
from llama_operator.diagnose.template import stamp
from llama_operator.reconcile import mounts
from llama_operator.render import render, revision
from llama_operator.render.inputs import Replacing, Serving

Object = dict[str, Any]
SPEC: Object = {"backend": "kserve", "kserve": {"resource": "LLMInferenceService"}}
# Two braces, as a chat template has them, and what they would be escaped by.
BRACES = ["--chat-template={{ messages }}", "--x={{`{{`}}", '--y={{{"a": 1}}}']


def of(wish: Serving, how: Replacing | None = None) -> Object:
    objects = render.serving_objects(wish, None, how or Replacing())
    (found,) = [obj for obj in objects if obj["kind"] == LLM_INFERENCE]
    assert not [obj for obj in objects if obj["kind"] in ("Deployment", "InferenceService")]
    found["metadata"]["uid"] = "uid-of-the-service"
    return found


def made(how: Replacing | None = None, **spec: Any) -> Object:
    return of(serving(**SPEC, **spec), how)


def pod_of(service: Object) -> Object:
    """The template of the pods that KServe makes."""
    return dict(played_llm.deployment(service)["spec"]["template"])


def engine(template: Object) -> Object:
    (found,) = template["spec"]["containers"]
    return dict(found)


def native(**spec: Any) -> Object:
    return engine(revision.template(serving(**spec)))


# -- what is left of a server once KServe has laid it over its own --------------------------------


@pytest.mark.parametrize("kind", ["vllm", "transformers"])
def test_ours_counts_in_all_that_a_server_starts_and_answers_by(kind: str) -> None:
    spec: Object = {"engine": {"type": kind}}
    box, plain = engine(pod_of(made(**spec))), native(**spec)
    for field in ("image", "args", "resources", "lifecycle", "terminationMessagePolicy"):
        assert box[field] == plain[field], field
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert box[probe] == plain[probe], probe
        assert box[probe]["httpGet"]["scheme"] == "HTTP"
    assert box["command"][:2] == ["python3", "-c"]
    assert "/etc/llama-guard" in box["command"][2]
    assert box["ports"] == plain["ports"]


def test_variables_and_mounts_of_ours_stay_and_none_finds_the_guard() -> None:
    box, plain = engine(pod_of(made())), native()
    variables = {each["name"]: each for each in box["env"]}
    assert "PYTHONPATH" not in variables
    ours = {each["name"]: each for each in plain["env"] if each["name"] != "PYTHONPATH"}
    assert ours.items() <= variables.items()
    mounted = {each["mountPath"]: each["name"] for each in box["volumeMounts"]}
    assert {each["mountPath"]: each["name"] for each in plain["volumeMounts"]}.items() <= (
        mounted.items()
    )
    volumes = {each["name"]: each for each in pod_of(made())["spec"]["volumes"]}
    whole = revision.template(serving())["spec"]["volumes"]
    assert all(volumes[each["name"]] == each for each in whole)
    assert set(mounted.values()) <= volumes.keys()


def test_what_kserve_adds_is_known() -> None:
    box, plain = engine(pod_of(made())), native()
    added = {each["name"] for each in box["env"]} - {each["name"] for each in plain["env"]}
    assert added == {"VLLM_LOGGING_LEVEL", "HF_HUB_CACHE"}
    paths = {each["mountPath"] for each in box["volumeMounts"]}
    assert paths - {each["mountPath"] for each in plain["volumeMounts"]} == {
        "/home", "/models", "/var/run/kserve/tls"
    }  # fmt: skip
    security = box["securityContext"]
    assert security["readOnlyRootFilesystem"] is True
    assert security["runAsNonRoot"] is True


# -- labels ---------------------------------------------------------------------------------------


def test_services_of_ours_and_of_kserve_select_its_pods() -> None:
    own = pod_of(made())["metadata"]["labels"]
    assert (own[labels.DEPLOYMENT], own[labels.COMPONENT]) == ("web", labels.SERVER)
    assert own[labels.MANAGED_BY] == labels.MANAGED_BY_VALUE
    # KServe's own Service.
    assert own[labels.NAME] == "web"
    assert own["app.kubernetes.io/part-of"] == "llminferenceservice"


def test_the_selector_that_kserve_makes_of_labels_never_changes() -> None:
    def selector(**spec: Any) -> Object:
        return dict(played_llm.deployment(made(**spec))["spec"]["selector"])

    other = serving(**SPEC)
    moved = of(replace(other, weights=replace(other.weights, claim="another")))
    assert played_llm.deployment(moved)["spec"]["selector"] == selector()
    assert selector(podMetadata={"labels": {"a": "b"}}) == selector()
    assert selector(observability={"podMonitor": False}) == selector()
    assert selector(engine={"args": ["--seed=7"]}) == selector()


def test_pods_of_a_volume_of_one_node_stay_together_by_a_label_that_they_have() -> None:
    wish = serving(**SPEC)
    service = of(replace(wish, weights=replace(wish.weights, one_node=True)))
    pod = pod_of(service)
    (term,) = pod["spec"]["affinity"]["podAffinity"][
        "requiredDuringSchedulingIgnoredDuringExecution"
    ]
    assert term["labelSelector"]["matchLabels"].items() <= pod["metadata"]["labels"].items()


# -- text that KServe executes --------------------------------------------------------------------


def test_braces_reach_the_server_as_they_were_written() -> None:
    service = made(engine={"args": BRACES})
    args = service["spec"]["template"]["containers"][0]["args"]
    assert not [each for each in args if each in BRACES], "KServe would execute these"
    assert set(BRACES) <= set(engine(pod_of(service))["args"])


@pytest.mark.parametrize("text", ["", "{", "{{", "{{{", "{{{{", "{{`{{`}}", "}}{{", "{{`{{{{`}}"])
def test_what_is_escaped_comes_out_again(text: str) -> None:
    value = {"a": [text, 1, None, {"b": text}], "c": True}
    assert gotemplate.executed(gotemplate.escaped(value)) == value


def test_a_template_is_told_from_that_of_another_kind_and_keeps_its_stamp() -> None:
    service = made(engine={"args": BRACES})
    kept = revision.template(serving(**SPEC, engine={"args": BRACES}))
    assert kind_of(kept) == LLM_INFERENCE
    assert stamp(server_template(service)) == stamp(kept) == stamp(pod_of(service))
    assert server_template(service)["spec"] == kept["spec"]


# -- the model, the way in, replicas --------------------------------------------------------------


def test_the_copy_is_named_and_mounted_by_us_alone() -> None:
    wish, service = serving(**SPEC), made()
    assert service["spec"]["model"]["uri"] == f"pvc://{wish.weights.claim}/{wish.weights.path}"
    assert service["spec"]["storageInitializer"] == {"enabled": False}
    place = [f"default/{wish.weights.claim}/{wish.weights.path}"]
    assert mounts.of_server(service) == mounts.of_server(played_llm.deployment(service)) == place


def test_an_earlier_revision_names_the_copy_that_it_mounts() -> None:
    wish = serving(**SPEC)
    kept = revision.template(wish)
    now = replace(wish, weights=replace(wish.weights, claim="another"))
    objects = render.serving_objects(now, kept, Replacing())
    (service,) = [obj for obj in objects if obj["kind"] == LLM_INFERENCE]
    assert service["spec"]["model"]["uri"].startswith(f"pvc://{wish.weights.claim}/")


def test_kserve_makes_the_way_in_and_asks_for_no_second_name_of_the_model() -> None:
    spec = made()["spec"]
    assert spec["router"] == {"route": {}, "gateway": {}}
    assert spec["annotations"][played_llm.BY_HEADER] == "false"
    assert spec["model"]["name"] in "".join(engine(pod_of(made()))["args"])


IN_PLACE, SURGE = Replacing(older=True), Replacing(surge=1, unavailable=0, older=True)
SWAP = Replacing(unavailable="100%", older=True)


@pytest.mark.parametrize(
    ("how", "wanted", "asked"),
    [
        (Replacing(), 3, 3),
        (SURGE, 1, 1),
        (SURGE, 8, 8),
        (IN_PLACE, 3, 2),
        (IN_PLACE, 1, 0),
        (IN_PLACE, 0, 0),
        (IN_PLACE, 4, 4),
        (SWAP, 1, 0),
        (SWAP, 8, 0),
        (Replacing(unavailable="100%"), 8, 8),
    ],
)
def test_where_there_is_no_room_one_server_is_given_up_first(
    how: Replacing, wanted: int, asked: int
) -> None:
    service = made(how, replicas=wanted)
    assert replicas_of(service) == asked
    assert played_llm.deployment(service)["spec"]["replicas"] == asked


def test_notes_and_replicas_restart_no_pod() -> None:
    one, other = made(Replacing(record="one")), made(Replacing(record="another"), replicas=3)
    assert one["metadata"]["annotations"] != other["metadata"]["annotations"]
    assert pod_of(one) == pod_of(other)


def test_revisions_of_other_servers_keep_their_names() -> None:
    def name(**spec: Any) -> str:
        wish = serving(**spec)
        return revision.inputs_of(wish.spec, wish.weights)

    written = {"backend": "kserve", "kserve": {"resource": "InferenceService"}}
    assert name(**written) == name(backend="kserve")
    assert name(**SPEC) != name(backend="kserve")


def test_the_queue_of_kueue_reaches_the_deployment() -> None:
    service = made(scheduling={"queueName": "gpus"})
    assert played_llm.deployment(service)["metadata"]["labels"][labels.QUEUE] == "gpus"

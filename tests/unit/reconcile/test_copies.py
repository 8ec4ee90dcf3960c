"""A name proves nothing: which copy is served is judged by what it holds and where it lies."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from tests.support.builders import (
    COMMIT,
    SHAPE,
    deployment,
    deployment_view,
    merged,
    ready_weights,
    weights_view,
    world,
)
from tests.support.memory import Memory
from tests.support.simulation import Simulation
from tests.unit.reconcile.test_decide import KEY, planned

from llama_operator.api.v1alpha1 import LlamaDeploymentSpec
from llama_operator.reconcile import planning
from llama_operator.reconcile.actions import Apply, Delete, SetFinalizer
from llama_operator.reconcile.caches import Caches
from llama_operator.reconcile.copies import copy_of, used
from llama_operator.reconcile.decide import Decision, decide
from llama_operator.reconcile.decide_weights import decide as decide_weights
from llama_operator.reconcile.source import copy_path
from llama_operator.reconcile.usage import RELEASE_POLL_SECONDS
from llama_operator.render.adapters import names
from llama_operator.render.origins import Hub

Object = dict[str, Any]


def named(model: str, **status: Any) -> Object:
    """A finished LlamaWeights called `w`."""
    made = ready_weights(deployment(weightsRef={"name": "w"}))
    made["spec"]["model"] = model
    made["status"] |= status
    return made


def decided(raw: Object, copy: Object) -> Decision:
    return decide(deployment_view(raw, weights=copy, key=KEY))


@pytest.mark.parametrize("lost", ["path", "bytes"])
def test_a_status_that_is_ready_without_a_place_is_waited_for(lost: str) -> None:
    raw, copy = deployment(weightsRef={"name": "w"}), named("llama-3.1-8b-instruct")
    del copy["status"][lost]
    decision = decided(raw, copy)
    assert (decision.weights_ready.status, decision.weights_ready.reason) == ("False", "Pending")
    assert not decision.desired


def test_weights_of_another_model_are_not_served() -> None:
    raw = deployment(weightsRef={"name": "w"})
    decision = decided(raw, named("llama-3.2-1b-instruct"))
    assert (decision.weights_ready.status, decision.weights_ready.reason) == ("False", "Failed")
    assert "holds llama-3.2-1b-instruct" in decision.weights_ready.message
    assert decision.actions == []


def test_an_id_and_its_repository_are_one_model() -> None:
    raw = deployment(weightsRef={"name": "w"})
    decision = decided(raw, named("meta-llama/Llama-3.1-8B-Instruct"))
    assert decision.weights_ready.status == "True"


def test_a_plan_for_named_weights_is_made_from_what_they_hold() -> None:
    nine = {**SHAPE, "numAttentionHeads": 9, "numKVHeads": 3, "hiddenSize": 1152}
    copy = named("llama-3.1-8b-instruct", shape=nine)
    copy["spec"]["source"] = {"huggingFace": {"repo": "someone/other"}}
    raw = deployment(weightsRef={"name": "w"}, sizing={"tensorParallel": 2})
    decision = decided(raw, copy)
    assert planned(decision) == ("False", "InvalidParallelism")


def test_a_namesake_with_another_source_is_not_served() -> None:
    raw = deployment()
    copy = ready_weights(raw)
    copy["spec"]["source"] = {"huggingFace": {"endpoint": "https://evil.example.com"}}
    decision = decided(raw, copy)
    assert decision.weights_ready.reason == "Failed"
    assert "another source" in decision.weights_ready.message
    assert not [action for action in decision.actions if isinstance(action, Apply)]


def test_defaults_that_the_api_server_wrote_are_no_other_source() -> None:
    raw = deployment(source={"huggingFace": {"tokenSecretRef": {"name": "hf"}}})
    copy = ready_weights(raw)
    reference = {"name": "hf", "key": "token"}
    copy["spec"]["source"] = {"huggingFace": {"revision": "main", "tokenSecretRef": reference}}
    assert decided(raw, copy).weights_ready.status == "True"


def test_the_claim_is_never_what_a_job_could_have_written() -> None:
    copy = named("llama-3.1-8b-instruct", claimName="of-somebody-else")
    assert copy_of(copy).claim == "w"
    copy = merged(copy, {"spec": {"storage": {"claimName": "shared"}}})
    assert copy_of(copy).claim == "shared"
    assert decide_weights(weights_view(copy)).facts["claimName"] == "shared"


@pytest.mark.parametrize("path", ["../../etc/0123456789abcdef", "x", "a/b/c", "/"])
def test_a_path_of_another_form_is_not_mounted(path: str) -> None:
    decision = decided(
        deployment(weightsRef={"name": "w"}), named("llama-3.1-8b-instruct", path=path)
    )
    assert decision.weights_ready.status == "False"
    assert decision.desired == []


def test_a_mirror_has_its_own_directory() -> None:
    mirror = Hub("a/b", endpoint="https://mirror.example.com")
    first, second = (
        copy_path("m", {**each.identity, "commit": COMMIT}) for each in (Hub("a/b"), mirror)
    )
    assert first != second


# -- in use: asked for, or still mounted ---------------------------------------------------------


def moved() -> tuple[Simulation, str]:
    """A deployment that runs from one copy and asks for another by now."""
    simulation = Simulation(Memory([deployment()]))
    simulation.settle()
    before = simulation.copies[0]
    raw = simulation.memory.objects[("LlamaDeployment", "web")]
    edited = {**raw["spec"], "model": "llama-3.2-3b-instruct"}
    simulation.memory.put({**raw, "spec": edited, "metadata": {**raw["metadata"], "generation": 2}})
    return simulation, before


def test_a_copy_is_in_use_until_the_last_server_has_left_it() -> None:
    simulation, before = moved()
    simulation.serve()
    view = simulation.weights(before)
    assert (view.users, view.leaving) == (("web",), ("web",))
    decision = decide_weights(view)
    assert "unusedSince" not in decision.facts
    assert not [a for a in decision.actions if isinstance(a, SetFinalizer | Delete)]
    assert decision.requeue_after == RELEASE_POLL_SECONDS
    simulation.settle()
    assert simulation.weights(before).users == ()
    assert simulation.memory.objects[("LlamaWeights", before)]["status"]["unusedSince"]
    assert simulation.memory.objects[("LlamaWeights", before)]["metadata"]["finalizers"] == []


def test_the_caches_know_who_still_mounts_a_copy() -> None:
    simulation, before = moved()
    caches = Caches(SimpleNamespace(clock=None))  # type: ignore[arg-type]
    objects = simulation.memory.objects
    caches.deployments.store.put(objects[("LlamaDeployment", "web")])
    caches.children["Deployment"].store.put(objects[("Deployment", "web")])
    copy = objects[("LlamaWeights", before)]
    assert caches.users_of("default", before) == []
    assert [found["metadata"]["name"] for found in runners(caches, copy)] == ["web"]
    elsewhere = {**copy, "status": {**copy["status"], "path": "x/0123456789abcdef"}}
    assert runners(caches, elsewhere) == []
    namesake = {**objects[("LlamaDeployment", "web")]}
    namesake["metadata"] = {**namesake["metadata"], "uid": "uid-of-another"}
    caches.deployments.store.put(namesake)
    assert runners(caches, copy) == [], "a name proves nothing"


def runners(caches: Caches, copy: Object) -> list[Object]:
    return asyncio.run(caches.runners_of(copy))


# -- nodes come and go ---------------------------------------------------------------------------


def test_the_last_node_of_a_kind_may_leave_without_a_restart() -> None:
    raw = deployment(gpu={"product": ""})
    simulation = Simulation(Memory([raw]))
    simulation.settle()
    with_nodes = simulation.memory.objects[("Deployment", "web")]["spec"]
    for nodes in ((), ({"metadata": {"labels": {planning._PRODUCT: "NVIDIA-L40S"}}},)):
        simulation.env = world(nodes=nodes)
        simulation.settle()
        assert simulation.memory.objects[("Deployment", "web")]["spec"] == with_nodes
        ready = simulation.memory.objects[("LlamaDeployment", "web")]["status"]["conditions"][0]
        assert (ready["status"], ready["reason"]) == ("True", "Serving")


def test_another_pool_is_moved_to_when_the_spec_asks_for_it() -> None:
    simulation = Simulation(Memory([deployment(gpu={"product": ""})]))
    simulation.settle()
    raw = simulation.memory.objects[("LlamaDeployment", "web")]
    spec = {**raw["spec"], "scheduling": {"nodeSelector": {"pool": "b"}}}
    simulation.memory.put({**raw, "spec": spec, "metadata": {**raw["metadata"], "generation": 2}})
    pool = {"metadata": {"name": "n2", "labels": {planning._PRODUCT: "NVIDIA-L40S", "pool": "b"}}}
    simulation.env = world(nodes=(*simulation.env.nodes, pool))
    simulation.settle()
    pod = simulation.memory.objects[("Deployment", "web")]["spec"]["template"]["spec"]
    assert pod["nodeSelector"] == {planning._PRODUCT: "NVIDIA-L40S", "pool": "b"}


def test_a_copy_is_fetched_where_its_servers_may_run() -> None:
    simulation = Simulation(Memory([deployment(gpu={"product": ""})]))
    simulation.serve()
    spec = simulation.memory.objects[("LlamaWeights", simulation.copies[0])]["spec"]
    assert spec["fetch"]["tolerations"][0]["key"] == "nvidia.com/gpu"
    assert spec["fetch"]["nodeSelector"] == {planning._PRODUCT: "NVIDIA-H100-80GB-HBM3"}


ADAPTER: Object = {"name": "sql", "source": {"huggingFace": {"repo": "o/sql"}}}


def test_users_are_found_by_all_copies_that_they_refer_to() -> None:
    assert used(deployment(weightsRef={"name": "mine"})) == ["mine"]
    (shared,) = used(deployment())
    assert shared.startswith("llama-3-1-8b-instruct-")
    both = deployment(weightsRef={"name": "mine"}, lora={"enabled": True}, adapters=[ADAPTER])
    (adapter,) = names("web", LlamaDeploymentSpec.model_validate(both["spec"]).adapters)
    assert used(both) == ["mine", adapter]


def test_a_copy_is_held_for_one_that_cannot_be_read_otherwise() -> None:
    broken = deployment(weightsRef={"name": "mine"}, replicas="many")
    caches = Caches(SimpleNamespace(clock=None))  # type: ignore[arg-type]
    caches.deployments.upsert(broken)
    assert caches.users_of("default", "mine") == [broken]

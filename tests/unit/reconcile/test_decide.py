from typing import Any

import pytest
from tests.support.builders import deployment, deployment_view, node, ready_weights, world

from llama_operator.reconcile.actions import (
    LEFTOVER_RETRY_SECONDS,
    Apply,
    CreateKey,
    CreateWeights,
    Delete,
)
from llama_operator.reconcile.decide import Decision, decide
from llama_operator.reconcile.snapshot import SecretView

Object = dict[str, Any]
KEY = SecretView("web-api-key", True, frozenset({"default"}), frozenset({"uid-web"}))


def kinds(decision: Decision) -> list[str]:
    return [
        type(a).__name__ if not isinstance(a, Apply) else a.obj["kind"] for a in decision.actions
    ]


def planned(decision: Decision) -> tuple[str, str]:
    condition = decision.judgement.condition
    return condition.status, condition.reason


def test_weights_and_key_come_first() -> None:
    decision = decide(deployment_view(key=SecretView("web-api-key")))
    assert [type(action) for action in decision.actions] == [CreateKey, CreateWeights]
    assert planned(decision) == ("True", "Fits")
    assert decision.weights_ready.reason == "Pending"


def test_servers_come_when_the_weights_are_ready_and_last_of_all_the_deployment() -> None:
    raw = deployment()
    decision = decide(deployment_view(raw, weights=ready_weights(raw), key=KEY))
    assert kinds(decision) == ["ControllerRevision", "Service", "NetworkPolicy", "Deployment"]


def test_when_all_is_as_intended_nothing_is_asked_for() -> None:
    raw = deployment()
    view = deployment_view(raw, weights=ready_weights(raw), key=KEY)
    made = [action.obj for action in decide(view).actions if isinstance(action, Apply)]
    assert decide(deployment_view(raw, made, weights=ready_weights(raw), key=KEY)).actions == []


def test_a_budget_that_is_no_longer_wanted_is_deleted() -> None:
    raw = deployment(replicas=2)
    view = deployment_view(raw, weights=ready_weights(raw), key=KEY)
    made = [a.obj for a in decide(view).actions if isinstance(a, Apply)]
    for obj in made:
        obj["metadata"]["uid"] = obj["kind"]
    fewer = deployment(replicas=1)
    decision = decide(deployment_view(fewer, made, weights=ready_weights(fewer), key=KEY))
    assert (
        Delete("PodDisruptionBudget", "default", "web", "PodDisruptionBudget") in decision.actions
    )


@pytest.mark.parametrize(
    ("spec", "reason", "words"),
    [
        ({"model": "70b"}, "UnknownModel", "llama-3.3-70b-instruct"),
        ({"model": "lama-3.1-8b-instruct"}, "UnknownModel", "llama-3.1-8b-instruct"),
        ({"model": "llama-3.2-11b-vision"}, "ModelNotServable", "spec.model"),
        ({"gpu": {"count": 3}}, "InvalidParallelism", "32 attention heads are not divisible by 3"),
        ({"sizing": {"maxModelLen": 200000}}, "ContextTooLong", "spec.sizing.maxModelLen"),
        ({"sizing": {"tensorParallel": 3}}, "InvalidParallelism", "spec.sizing.tensorParallel"),
        (
            {"gpu": {"product": "NVIDIA-L4"}, "sizing": {"dtype": "float32"}},
            "InsufficientGPUMemory",
            "GiB",
        ),
        ({"gpu": {"product": "NVIDIA-H1000"}}, "GPUUnknown", "spec.gpu.product"),
        ({"engine": {"args": ["--api-key=x"]}}, "InvalidParallelism", "spec.engine.args"),
        (
            {"engine": {"env": [{"name": "LD_PRELOAD", "value": "x"}]}},
            "InvalidParallelism",
            "spec.engine.env",
        ),
    ],
)
def test_a_refusal_names_field_and_way_out_and_makes_nothing(
    spec: Object, reason: str, words: str
) -> None:
    if spec.get("gpu", {}).get("product") == "NVIDIA-L4":
        spec = {**spec, "gpu": {**spec["gpu"], "count": 1}}
    decision = decide(deployment_view(deployment(**spec), key=SecretView("web-api-key")))
    status, found = planned(decision)
    assert (found, status != "True") == (reason, True)
    assert words in decision.judgement.condition.message
    assert decision.actions == []


def test_a_gpu_is_read_from_the_nodes_labels() -> None:
    raw = deployment(gpu={"product": "", "count": 2})
    nodes = (node("NVIDIA-L40S"),)
    decision = decide(deployment_view(raw, world=world(nodes=nodes), key=KEY))
    assert decision.judgement.plan is not None
    assert decision.judgement.plan.gpu_product == "NVIDIA-L40S"


def test_without_labels_the_message_says_what_to_set() -> None:
    decision = decide(
        deployment_view(deployment(gpu={"product": ""}), world=world(nodes=()), key=KEY)
    )
    assert planned(decision) == ("Unknown", "GPUUnknown")
    assert "spec.gpu.product" in decision.judgement.condition.message


def test_a_node_that_joins_later_does_not_change_a_running_plan() -> None:
    raw = deployment(gpu={"product": ""}, status={"plan": {"gpuProduct": "NVIDIA-L40S"}})
    both = (node("NVIDIA-L40S"), node())
    decision = decide(deployment_view(raw, world=world(nodes=both), key=KEY))
    assert decision.judgement.plan is not None
    assert decision.judgement.plan.gpu_product == "NVIDIA-L40S"


def test_an_unknown_repository_waits_for_its_shape_and_fetches() -> None:
    raw = deployment(model="someone/llama-ft")
    decision = decide(deployment_view(raw, key=KEY))
    assert planned(decision) == ("Unknown", "WaitingForShape")
    assert kinds(decision) == ["CreateWeights"]


@pytest.mark.parametrize(
    ("key", "words"),
    [
        (SecretView("mine"), "there is no Secret 'mine'"),
        (SecretView("mine", True), "llamactl key rotate web -n default"),
    ],
)
def test_a_named_key_that_is_missing_blocks_and_is_asked_for_again(
    key: SecretView, words: str
) -> None:
    decision = decide(deployment_view(deployment(auth={"secretName": "mine"}), key=key))
    assert decision.blocked is not None
    assert decision.blocked[0] == "SecretMissing"
    assert words in decision.blocked[1]
    assert decision.actions == []
    assert decision.requeue_after


def test_an_entry_of_any_name_is_a_key() -> None:
    key = SecretView("mine", True, frozenset({"team-a"}))
    assert decide(deployment_view(deployment(auth={"secretName": "mine"}), key=key)).blocked is None


def test_our_own_secret_without_an_entry_is_told_of() -> None:
    emptied = SecretView("web-api-key", True, frozenset(), frozenset({"uid-web"}))
    blocked = decide(deployment_view(key=emptied)).blocked
    assert blocked is not None
    assert blocked[0] == "SecretMissing"
    assert "'web-api-key' has no entry" in blocked[1]


def test_a_strangers_secret_is_not_used_as_the_key() -> None:
    stranger = SecretView("web-api-key", True, frozenset({"default"}), frozenset())
    decision = decide(deployment_view(key=stranger))
    assert decision.blocked is not None
    assert decision.blocked[0] == "ObjectNotOwned"
    assert decision.actions == []


def test_named_weights_that_do_not_exist() -> None:
    decision = decide(deployment_view(deployment(weightsRef={"name": "gone"}), key=KEY))
    assert decision.weights_ready.reason == "NotFound"
    assert "'gone'" in decision.weights_ready.message
    assert decision.actions == []


def test_a_paused_object_is_left_alone() -> None:
    raw = deployment(paused=True)
    assert decide(deployment_view(raw, weights=ready_weights(raw), key=KEY)).actions == []


def test_the_key_of_a_deleted_namesake_is_waited_for_and_not_called_a_strangers() -> None:
    left = SecretView(
        "web-api-key", True, frozenset({"default"}), frozenset({"uid-before"}), frozenset({"web"})
    )
    decision = decide(deployment_view(key=left))
    assert decision.blocked is not None
    assert "deleted LlamaDeployment of the same name" in decision.blocked[1]
    assert decision.requeue_after == LEFTOVER_RETRY_SECONDS
    assert decision.actions == []

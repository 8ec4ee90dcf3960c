"""Several nodes as the operator asks for them: what is planned by itself, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.builders import H100, deployment, deployment_view, node

from llama_operator.reconcile import planning

COUNT = {"nvidia.com/gpu.count": "8"}


def judged(nodes: int = 2, **spec: Any) -> planning.Judgement:
    view = deployment_view(deployment(**spec))
    there = [node(H100, **COUNT) for _ in range(nodes)]
    return planning.judge(view.spec, view.world.catalog, there, None)


def test_a_model_that_one_node_does_not_hold_is_planned_over_two() -> None:
    found = judged(model="llama-3.1-405b-instruct-bf16-mp16", sizing={"maxModelLen": 8192}).plan
    assert found is not None
    layout = (found.nodes, found.tensor_parallel, found.pipeline_parallel, found.gpus)
    assert layout == (2, 8, 2, 16)


def test_it_is_refused_where_there_is_one_node() -> None:
    found = judged(1, model="llama-3.1-405b-instruct-bf16-mp16", sizing={"maxModelLen": 8192})
    assert found.condition.reason == "InsufficientGPUMemory"


def test_a_small_model_stays_on_one_node() -> None:
    found = judged().plan
    assert found is not None
    assert found.nodes == 1


@pytest.mark.parametrize(
    ("gpu", "sizing", "words"),
    [
        (8, {"nodes": 3}, "8 GPUs cannot be spread evenly over 3 nodes"),
        (9, {"nodes": 3}, "spec.gpu.count: 9 GPUs"),
        (
            None,
            {"nodes": 3, "tensorParallel": 8, "pipelineParallel": 33},
            "33 stages are more than",
        ),
        (None, {"nodes": 3, "tensorParallel": 3}, "32 attention heads are not divisible by 3"),
    ],
)
def test_nodes_that_layers_or_heads_refuse(gpu: Any, sizing: Any, words: str) -> None:
    found = judged(gpu={"count": gpu} if gpu else {}, sizing=sizing)
    assert found.condition.reason == "InvalidParallelism"
    assert words in found.condition.message


def test_a_vllm_that_knows_no_nodes_is_refused_with_the_one_that_does() -> None:
    found = judged(sizing={"nodes": 2, "tensorParallel": 8}, engine={"version": "0.11.0"})
    assert found.condition.reason == "InvalidParallelism"
    assert "Use 0.12 or newer" in found.condition.message


def test_ranks_on_cpus_are_spread_evenly() -> None:
    cpu = {"device": "cpu", "image": "x:0.32.0"}
    found = judged(gpu={"product": "", "count": 2}, sizing={"nodes": 2}, engine=cpu).plan
    assert found is not None
    assert (found.nodes, found.gpus) == (2, 2)
    assert "over 2 nodes" in found.reason

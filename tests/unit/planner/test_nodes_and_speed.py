"""How many nodes there are, what a step of the roofline adds up to, and which batch is blamed."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.unit.planner.ask import ask

from llama_operator.api.errors import PlanRefused
from llama_operator.planner import speed
from llama_operator.planner.explain import explain
from llama_operator.planner.plan import choose, plan, speed_of, subject_of


def test_no_plan_has_more_nodes_than_there_are() -> None:
    request = ask("405b")
    assert plan(request).nodes == 2
    assert plan(replace(request, most_nodes=2)).nodes == 2
    with pytest.raises(PlanRefused):
        plan(replace(request, most_nodes=1))


def test_pinned_nodes_that_do_not_exist() -> None:
    with pytest.raises(PlanRefused, match="3 is more than the 2 nodes that have these GPUs"):
        plan(replace(ask("405b"), nodes=3, most_nodes=2))


@pytest.mark.parametrize("batch", [1, 64])
def test_a_step_is_the_sum_of_its_parts(batch: int) -> None:
    request = replace(ask("405b"), gpu_count=16)
    found = choose(request, subject_of(request)).budget
    assert request.gpu is not None
    step = speed.step(found, request.gpu, request.shape, batch)
    assert step.stages == 2
    assert step.busy >= max(step.reading, step.computing) + step.exchange - 1e-9
    assert step.seconds == pytest.approx(2 * step.busy + speed.NEXT_STAGE)
    assert step.reading == pytest.approx(
        step.read_bytes / request.gpu.bandwidth / speed.BANDWIDTH_SHARE
    )


def test_the_batch_of_an_estimate_is_the_asked_concurrency() -> None:
    request = replace(ask("8b"), max_model_len=4096, concurrency=7)
    chosen = choose(request, subject_of(request))
    assert speed_of(request, chosen).batch == 7
    assert speed_of(request, chosen, 3).batch == 3
    assert "7 requests with answers of 128 tokens" in explain(request)
    # Else as many as the cache holds, and no more than was ever measured to agree.
    for asked, batch in ((ask("8b"), 256), (ask("70b", gpu_count=2), 55)):
        assert speed_of(asked, choose(asked, subject_of(asked))).batch == batch


def test_a_pinned_batch_is_blamed_and_not_the_share_of_the_card() -> None:
    with pytest.raises(PlanRefused) as caught:
        plan(replace(ask("8b"), gpu_count=1, max_num_seqs=60_000, max_num_batched_tokens=60_000))
    assert caught.value.field == "spec.sizing.maxNumSeqs"
    assert caught.value.fix.startswith("Lower it")

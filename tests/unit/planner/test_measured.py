"""The planner against runs of vLLM 0.24.0 on H100s, rank by rank, and against public logs."""

from __future__ import annotations

import pytest
from tests.bench.cases import Case, Pace, measured, paces, published
from tests.bench.planner import error_percent

from llama_operator.planner.plan import subject_of
from llama_operator.planner.speed import MOST_REQUESTS
from llama_operator.planner.weights import parameter_bytes

MIB = 1 << 20
RUNS = measured()
CASES = published()


@pytest.mark.parametrize("case", RUNS, ids=lambda case: case.name)
def test_fits_or_not_as_it_was(case: Case) -> None:
    refused = case.verdict()
    assert (refused is None) == case.works, refused


@pytest.mark.parametrize(
    "case", [each for each in RUNS if each.kv_tokens], ids=lambda case: case.name
)
def test_kv_tokens_are_what_vllm_printed(case: Case) -> None:
    error = error_percent(case)
    assert error is not None and abs(error) <= 0.35


def test_kv_tokens_are_right_on_average() -> None:
    errors = [abs(error) for case in RUNS if (error := error_percent(case)) is not None]
    assert len(errors) >= 30
    assert sum(errors) / len(errors) <= 0.03


@pytest.mark.parametrize(
    "case", [each for each in RUNS if "ranks" in each.raw], ids=lambda case: case.name
)
def test_each_rank_holds_what_it_held(case: Case) -> None:
    found = case.predicted()
    # Both tensor ranks are alike; of a pipeline the first and the last differ.
    staged = case.raw["pipeline_parallel"] > 1
    ranks = case.raw["ranks"]
    for rank, was in zip(found.ranks, (ranks[0], ranks[-1]) if staged else ranks, strict=False):
        if "weights_bytes" in was:
            # FP8, and an FP8 cache with two ranks, held up to 32 MiB that nothing explains.
            assert -33 * MIB <= rank.weights - was["weights_bytes"] <= 2 * MIB
        if "peak_activation_bytes" in was:
            # 15 layers in eager mode: the last stage's 32 MiB are not explained.
            assert 0 <= rank.activation - was["peak_activation_bytes"] <= 32 * MIB
        if "cudagraph_actual_bytes" in was:
            assert 0 <= rank.graphs - was["cudagraph_actual_bytes"] <= 300 * MIB


@pytest.mark.parametrize(
    "case",
    [each for each in RUNS if any("param_bytes" in rank for rank in each.raw.get("ranks", ()))],
    ids=lambda case: case.name,
)
def test_parameters_are_exact_to_the_byte(case: Case) -> None:
    request, found = case.request, case.predicted()
    precision = subject_of(request).precision
    ranks = case.raw["ranks"]
    for rank, was in zip(found.ranks, (ranks[0], ranks[-1]), strict=False):
        held = parameter_bytes(
            request.shape,
            request.weights_bytes,
            precision,
            request.tensor_parallel or 1,
            rank.stage,
        )
        # FP8 keeps a scale for each layer's four linears.
        scales = 0 if not precision.quantization else 4096
        assert 0 <= was["param_bytes"] - held <= scales


@pytest.mark.parametrize(
    "case",
    [each for each in RUNS if any("used_bytes" in rank for rank in each.raw.get("ranks", ()))],
    ids=lambda case: case.name,
)
def test_the_card_was_never_fuller_than_foretold(case: Case) -> None:
    found = case.predicted()
    used = max(rank.get("used_bytes", 0) for rank in case.raw["ranks"])
    foretold = found.card_bytes - found.card_room
    assert used <= foretold <= used + 1800 * MIB


@pytest.mark.parametrize(
    "case", [each for each in CASES if each.test == "strict"], ids=lambda case: case.name
)
def test_public_logs_agree(case: Case) -> None:
    error = error_percent(case)
    assert error is None or abs(error) <= 5
    assert (case.verdict() is None) == case.works


def test_all_runs_are_there() -> None:
    """33 runs on one H100, of which 14 measured only speed, and 24 on two; 4 more from notes."""
    assert len(RUNS) == 47 and len(paces()) == 7
    assert len(CASES) == 56
    assert sum(each.test == "strict" for each in CASES) == 5


def test_every_disagreement_with_a_publication_is_explained() -> None:
    wrong = {each.name for each in CASES if (each.verdict() is None) != each.works}
    explained = {each.name for each in CASES if "why_not" in each.raw}
    assert wrong == explained
    assert len(wrong) <= 6


@pytest.mark.parametrize("pace", paces(), ids=lambda pace: f"{pace.gpus}x{pace.requests}")
def test_speed_is_about_what_was_measured(pace: Pace) -> None:
    found = pace.predicted()
    if pace.requests > MOST_REQUESTS:
        assert found.batch_tokens_per_second > 1.1 * pace.tokens_per_second
        return
    assert found.batch_tokens_per_second == pytest.approx(pace.tokens_per_second, rel=0.06)
    if pace.first_token_seconds:
        assert found.first_token_seconds == pytest.approx(pace.first_token_seconds, rel=0.15)

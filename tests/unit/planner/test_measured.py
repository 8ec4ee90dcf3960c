"""The planner against runs of vLLM 0.24.0 on H100s, rank by rank, and against public logs."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.bench.cases import Case, measured, published
from tests.bench.planner import error_percent, usual_request

from llama_operator.catalog import catalog
from llama_operator.planner.plan import choose, speed_of, subject_of
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


def test_every_disagreement_with_a_publication_is_explained() -> None:
    wrong = {each.name for each in CASES if (each.verdict() is None) != each.works}
    explained = {each.name for each in CASES if "why_not" in each.raw}
    assert wrong == explained
    assert len(wrong) <= 6


def test_speed_is_about_what_was_measured() -> None:
    """Llama 3.1 8B, prompts of 512 and answers of 128 tokens: (GPUs, requests, tokens/s)."""
    by_gpus = {
        1: [(1, 151.0), (16, 1889.0), (64, 4471.0), (256, 6547.0)],
        2: [(1, 215.0), (64, 6797.0)],
    }
    shape = catalog.load().resolve("8b").shape
    for count, figures in by_gpus.items():
        request = replace(usual_request(), shape=shape, weights_bytes=0, gpu_count=count)
        found = choose(request, subject_of(request))
        for batch, tokens in figures:
            foretold = speed_of(request, found, batch).batch_tokens_per_second
            assert foretold == pytest.approx(tokens, rel=0.06)

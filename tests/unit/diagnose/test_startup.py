"""Where a start stands by its log, on logs of real vLLM cut off at every line."""

from __future__ import annotations

import pytest
from tests.unit.diagnose.samples import DATA

from llama_operator.diagnose.startup import PHASES, Told, phase, told

REAL = ("plain", "compile", "tp2", "pp2", "smollm2")


def log(name: str) -> list[str]:
    return (DATA / "healthy" / f"{name}.log").read_text().splitlines()


@pytest.mark.parametrize("name", REAL)
def test_phases_of_a_real_start_only_go_forward(name: str) -> None:
    lines = log(name)
    reached = [phase(lines[:count]) for count in range(len(lines))]
    numbers = [PHASES.index(each) if each else 0 for each in reached]
    assert numbers == sorted(numbers)
    assert {"", "LoadingWeights", "Compiling"} <= set(reached)


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("Loading safetensors checkpoint shards:  25% Completed | 1/4", "LoadingWeights"),
        ("Loading pt checkpoint shards:  50% Completed | 4/8", "LoadingWeights"),
        ("INFO [gpu_model_runner.py:1] Starting to load model /models/8b...", "LoadingWeights"),
        ("INFO [default_loader.py:267] Loading weights took 22.11 seconds", "Compiling"),
        ("INFO [weight_utils.py:1] Loading model weights took 15.0 GB", "Compiling"),
        ("INFO [backends.py:1] Dynamo bytecode transform time: 5.1 s", "Compiling"),
        ("INFO [kv_cache_utils.py:1087] GPU KV cache size: 209,715 tokens", "Compiling"),
        ("Capturing CUDA graphs (decode, FULL): 100%|##########| 35/35", "CapturingGraphs"),
        ("INFO [api_utils.py:286] non-default args: {}", ""),
    ],
)
def test_the_phase_that_a_line_tells(line: str, wanted: str) -> None:
    assert phase([line]) == wanted


def test_what_a_real_server_tells() -> None:
    found = told(log("compile"))
    assert found == Told("0.32.0", 131072, 2048, load_seconds=0.0)


def test_the_slowest_worker_counts() -> None:
    lines = [
        "INFO [default_loader.py:267] Loading weights took 22.11 seconds",
        "INFO [default_loader.py:267] Loading weights took 31.50 seconds",
        "INFO [monitor.py:48] torch.compile takes 24.01 s in total",
        "INFO [gpu_model_runner.py:1] Graph capturing finished in 6 secs, took 1.10 GiB",
        "INFO 11-27 01:00:00 [llama_warm_up.py:70] llama_warm_up: the first token came after 1.25 s",
    ]
    found = told(lines)
    assert found.first_token_seconds == 1.25
    assert (found.load_seconds, found.compile_seconds, found.graphs_seconds) == (31.5, 24.01, 6.0)


def test_a_context_that_vllm_has_shortened_is_the_one_it_serves() -> None:
    assert told(["Auto-fit max_model_len: reduced from 2048 to 640 to fit"]).max_model_len == 640


def test_a_log_that_tells_nothing_is_no_figure() -> None:
    assert told([]) == Told()
    assert told(["vLLM API server version ?", "KV cache size: some tokens"]) == Told()

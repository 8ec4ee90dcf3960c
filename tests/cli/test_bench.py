"""bench: the load that it makes, what it counts, and how it tells."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from typing import Any

import pytest

from llamactl import bench_load, bench_stats, bench_view
from llamactl.bench_stats import Sample
from tests.cli.conftest import PODS, Run
from tests.cli.engine_stub import Engine
from tests.cli.fake_api import Fake
from tests.cli.objects import pod

ARGS = ("bench", "my-llama", "--requests", 6, "--concurrency", 3, "--prompt-tokens", 20)


def test_the_report_counts_and_times_what_the_server_did(llamactl: Run, engine: Engine) -> None:
    engine.delay = 0.05
    result = llamactl(*ARGS, "-o", "json")
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert (report["completed"], report["failed"], report["errors"]) == (6, 0, [])
    assert (report["promptTokens"], report["outputTokens"]) == (6 * 20, 6 * 3)
    assert report["ttftMs"]["p50"] >= 50
    assert report["tpotMs"]["p50"] >= 50
    assert report["latencyMs"]["max"] >= 150
    whole = report["ttftMs"]["mean"] + 2 * report["tpotMs"]["mean"]
    assert report["latencyMs"]["mean"] == pytest.approx(whole, abs=0.1)
    # Two rounds of three at once.
    assert 0.3 <= report["seconds"] < 6 * report["latencyMs"]["mean"] / 1000
    assert report["outputTokensPerSecond"] == pytest.approx(18 / report["seconds"], rel=0.01)
    assert engine.most_at_once == 3
    assert (report["model"], report["concurrency"]) == ("llama-3.1-8b-instruct", 3)


def test_each_prompt_is_its_own_and_the_same_each_time(llamactl: Run, engine: Engine) -> None:
    llamactl(*ARGS, "--warmup", 2, "--max-tokens", 9)
    prompts = [body["prompt"] for body in engine.bodies]
    assert len(set(prompts)) == len(prompts) == 8
    first = engine.bodies[-1]
    assert (first["max_tokens"], first["ignore_eos"], first["temperature"]) == (9, True, 0)
    before = set(prompts)
    llamactl(*ARGS, "--warmup", 2)
    assert {body["prompt"] for body in engine.bodies} == before
    llamactl(*ARGS, "--warmup", 0, "--seed", 5)
    assert not before & {body["prompt"] for body in engine.bodies[-6:]}


def test_every_ready_replica_is_asked(llamactl: Run, engine: Engine, api: Fake) -> None:
    api.put(f"{PODS}/my-llama-1", pod("my-llama-1"))
    api.put(f"{PODS}/my-llama-2", pod("my-llama-2", is_ready=False))
    report = json.loads(llamactl(*ARGS, "-o", "json").stdout)
    asked = [path.split("/")[6] for _, path in api.asked if "portforward" in path]
    assert report["replicas"] == 2
    assert asked.count("my-llama-0") == asked.count("my-llama-1") == 4
    assert len(asked) == 8


def test_failures_are_counted_and_are_exit_code_1(llamactl: Run, engine: Engine) -> None:
    engine.break_off = True
    result = llamactl(*ARGS, "--warmup", 0, "-o", "json")
    assert result.exit_code == 1
    report = json.loads(result.stdout)
    assert (report["completed"], report["failed"], report["ttftMs"]) == (0, 6, {})
    assert "6 of 6 requests failed: the answer of pod my-llama-0 broke off" in result.stderr
    text = llamactl(*ARGS, "--warmup", 0).stdout
    assert "0 done, 6 failed" in text
    assert "Traceback" not in text


def test_a_server_that_refuses_ends_it_at_the_first_request(llamactl: Run, engine: Engine) -> None:
    result = llamactl(*ARGS, "--max-tokens", 5000)
    assert result.exit_code == 1
    assert "the first request failed: " in result.stderr
    assert "max_tokens is too large" in result.stderr
    assert len(engine.bodies) == 1


@pytest.mark.parametrize("columns", ["60", "100"])
def test_the_page_fits_the_terminal(
    llamactl: Run, engine: Engine, monkeypatch: pytest.MonkeyPatch, columns: str
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    result = llamactl(*ARGS)
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert max(map(len, lines)) <= int(columns)
    assert any(line.startswith("time to first token") for line in lines)
    assert sum(int(line.split()[-1]) for line in lines if line.startswith("  ") and "█" in line
               and line.split()[-1].isdigit()) == 6  # fmt: skip
    assert "6 of 6 requests" in result.stderr


@pytest.mark.parametrize("option", ["--concurrency=0", "--requests=0", "--max-tokens=x"])
def test_wrong_numbers_are_wrong_usage(llamactl: Run, engine: Engine, option: str) -> None:
    assert llamactl("bench", "my-llama", option).exit_code == 2
    assert engine.bodies == []


def test_ctrl_c_reports_what_is_done(engine: Engine) -> None:
    engine.delay = 0.1
    command = ["env", "--default-signal=INT", sys.executable, "-m", "llamactl"]
    command += [*map(str, ARGS), "--requests", "500", "-o", "json"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ
    ) as running:
        deadline = time.monotonic() + 20
        while len(engine.bodies) < 8 and time.monotonic() < deadline:
            time.sleep(0.02)
        begun = time.monotonic()
        running.send_signal(signal.SIGINT)
        stdout, stderr = running.communicate(timeout=20)
    assert running.returncode == 130
    assert time.monotonic() - begun < 5
    assert 0 < json.loads(stdout)["completed"] < 500
    assert "Stopped after" in stderr
    assert "Traceback" not in stderr


# -- the sums -------------------------------------------------------------------------------------


def sample(start: float, first: float, last: float, tokens: int, **more: Any) -> Sample:
    return Sample(start, first, last, tokens, **more)


def test_percentiles_lie_between_neighbours() -> None:
    assert [bench_stats.percentile([4, 1, 3, 2], share) for share in (0, 50, 100)] == [1, 2.5, 4]
    assert bench_stats.percentile([7], 99) == 7
    assert bench_stats.percentile(range(101), 99) == 99


def test_figures_of_known_samples() -> None:
    samples = [sample(0, 1, 3, 5, prompt_tokens=10), sample(1, 1.5, 4, 6), Sample(2, error="no")]
    report = bench_stats.summary(samples)
    assert (report["seconds"], report["outputTokens"], report["failed"]) == (4, 11, 1)
    assert (report["outputTokensPerSecond"], report["totalTokensPerSecond"]) == (2.75, 5.25)
    assert report["ttftMs"]["mean"] == 750
    assert report["tpotMs"] == {"mean": 500, "p50": 500, "p90": 500, "p99": 500, "max": 500}
    assert report["errors"] == ["no"]


def test_one_sample_and_equal_samples_can_be_drawn() -> None:
    for samples in ([sample(0, 1, 1, 1)], [sample(0, 1, 2, 2)] * 4):
        assert bench_view.histogram([1000.0] * len(samples), 60).count("█")
        assert "Tokens/s over time" in bench_view.over_time(samples, 60)


def test_a_prompt_has_the_words_that_were_asked_for() -> None:
    load = bench_load.Load(1, 1, 300, 8, 0)
    assert len(bench_load.body(load, 0)["prompt"].split()) == 300

"""plan: disk, download, load and speed, each redone by hand from the figures that are shown."""

from __future__ import annotations

import json
from typing import Any

import pytest

from llama_operator.planner.delivery import volume_bytes
from llama_operator.render.claim import claim_bytes
from llamactl.units import parse_rate, rate_text
from tests.cli.conftest import Run

GB = 10**9


def chosen(llamactl: Run, *args: object) -> dict[str, Any]:
    result = llamactl("plan", *args, "-o", "json")
    assert result.exit_code == 0, result.stderr
    return dict(json.loads(result.stdout)["chosen"])


@pytest.mark.parametrize("size", [1, 10**6, 1 << 30, 141_107_412_992, 811_706_777_600])
def test_the_volume_is_the_one_that_the_operator_asks_for(size: int) -> None:
    assert volume_bytes(size) == claim_bytes("", size)


def test_disk_download_and_load(llamactl: Run) -> None:
    found = chosen(llamactl, "70b", "--gpu", "H100")["checkpoint"]
    size = 141_107_412_992
    assert (found["tensorBytes"], found["fileBytes"], found["commit"]) == (size, size, None)
    assert found["volumeBytes"] == int(size * 1.1)
    assert found["downloadSeconds"] == pytest.approx(size * 8 / GB, abs=0.1)
    assert found["loadSeconds"] == pytest.approx(size / GB, abs=0.1)


def test_bandwidth_and_read_speed_are_the_users(llamactl: Run) -> None:
    args = ("--bandwidth", "10Gbit", "--read-speed", "125MB/s")
    found = chosen(llamactl, "70b", "--gpu", "H100", *args)["checkpoint"]
    assert found["bandwidthBytesPerSecond"] == 1_250_000_000
    assert found["downloadSeconds"] == pytest.approx(112.9, abs=0.1)
    assert found["loadSeconds"] == pytest.approx(1128.9, abs=0.1)
    page = llamactl("plan", "70b", "--gpu", "H100", *args).stdout
    assert "download 1m53s at 1.25 GB/s, load 18m49s at 125 MB/s" in page


@pytest.mark.parametrize("text", ["0", "0Gbit", "-1Gbit", "fast", "1e400Gbit", "1Pbit", "", "nan"])
@pytest.mark.parametrize("option", ["--bandwidth", "--read-speed"])
def test_a_speed_that_is_none(llamactl: Run, option: str, text: str) -> None:
    result = llamactl("plan", "8b", f"{option}={text}")
    assert result.exit_code == 2
    assert "is no speed above 0; write one such as 1Gbit or 125MB/s" in result.stderr


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("1Gbit", 125e6), ("1Gbit/s", 125e6), ("10Gbps", 1.25e9), ("8 b", 1), ("125MB/s", 125e6),
        ("1GiB/s", 2**30), ("1.5GB", 1.5e9), ("100kB/s", 1e5), ("2Mib/s", 2**21 / 8),
    ],
)  # fmt: skip
def test_speeds_are_read(text: str, rate: float) -> None:
    assert parse_rate(text) == rate


def test_speeds_are_written() -> None:
    assert [rate_text(r) for r in (5, 1e5, 125e6, 1.25e9, 3e12)] == [
        "5 B/s", "100 kB/s", "125 MB/s", "1.25 GB/s", "3 TB/s"
    ]  # fmt: skip


def test_speed_is_near_what_was_measured(llamactl: Run) -> None:
    """One H100 with Llama 3.1 8B: 149 tokens/s alone, the first token after 21 ms."""
    found = chosen(llamactl, "8b", "--gpu", "H100")["estimate"]
    assert found["tokensPerSecond"] == pytest.approx(150, rel=0.1)
    assert 0.01 < found["firstTokenSeconds"] < 0.04
    assert found["batchTokensPerSecond"] > 10 * found["tokensPerSecond"]


def test_explain_shows_figures_that_can_be_redone(llamactl: Run) -> None:
    page = llamactl("plan", "8b", "--gpu", "H100", "--explain", env={"COLUMNS": "400"}).stdout
    lines = {line.strip().split(":")[0]: line for line in page.splitlines() if ":" in line}
    step = lines["a step of 1"]
    assert "GiB / (3350 GB/s x 0.685)" in step
    gib = float(step.split("read ")[1].split(" GiB")[0])
    seconds = gib * 2**30 / (3350e9 * 0.685)
    assert f"= {1000 * seconds:.2f} ms" in step
    rate = float(lines["one request"].split("= ")[1].split(" ")[0])
    assert rate == pytest.approx(1 / seconds, rel=0.001)
    assert "16,060,522,496 B x 1.1" in lines["volume"]
    assert "16,060,522,496 B / 125 MB/s = 2.1 min (--bandwidth)" in lines["download"]
    assert "the prompt + one step" in lines["first token"]
    assert "card, as CUDA reports it" in page
    assert "room for the KV cache" in page


def test_a_gpu_whose_bandwidth_nobody_knows_is_not_estimated(llamactl: Run) -> None:
    args = ("8b", "--gpu", "Acme-9000", "--gpu-memory", "80Gi")
    assert "estimate" not in chosen(llamactl, *args)
    assert "speed: not estimated" in llamactl("plan", *args, "--explain").stdout


def test_cpus_have_a_disk_too(llamactl: Run) -> None:
    args = ("llama-3.2-1b-instruct", "--device", "cpu")
    assert chosen(llamactl, *args)["checkpoint"]["volumeBytes"] > 2 * GB
    page = llamactl("plan", *args, "--explain")
    assert page.exit_code == 0
    assert "--kv-cache-memory-bytes" in page.stdout

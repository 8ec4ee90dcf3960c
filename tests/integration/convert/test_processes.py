"""The command as a process: killed at any time, watched for its memory, asked for its words."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from random import Random

import pytest
from tests.support.models import metashards
from tests.support.models.metashards import Sizes

from llama_weights.state import State

SIZES = Sizes(hidden=2048, layers=1, heads=16, kv_heads=4, inner=5632, vocabulary=16384)
MEBIBYTE = 1 << 20
DRIVER = """
import sys, threading
from pathlib import Path
from llama_weights.convert.convert import Order, convert
from llama_weights.meter import Meter
order = Order(Path(sys.argv[1]), Path(sys.argv[2]), "llama-3-8b", 2, 20_000_000)
print(convert(order, Meter(), threading.Event()).digest)
"""


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """236 MB in two shards; the largest tensor has 64 MiB."""
    shards = metashards.split(metashards.noise(SIZES), SIZES.head_dim, 2)
    directory = tmp_path_factory.mktemp("meta") / "Meta-Llama-3-8B"
    return metashards.checkpoint(directory, shards, SIZES.params(), metashards.tiktoken(4096))


def start(source: Path, out: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", DRIVER, str(source), str(out)]
    return subprocess.Popen(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def finished(process: subprocess.Popen[str]) -> str:
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return out.strip()


@pytest.mark.parametrize(
    "kills", [20, pytest.param(200, marks=[pytest.mark.slow, pytest.mark.timeout(1200)])]
)
def test_killed_at_random_and_resumed(tmp_path: Path, checkpoint: Path, kills: int) -> None:
    out, chance = tmp_path / "out", Random(3)  # noqa: S311
    digest = finished(start(checkpoint, tmp_path / "whole"))
    expected = {path.name: path.read_bytes() for path in (tmp_path / "whole").iterdir()}
    total = sum(map(len, expected.values()))
    killed, longest, before = 0, 0, dict[str, int]()
    while killed < kills:
        process, enough = start(checkpoint, out), chance.uniform(0, total / 2)
        while process.poll() is None and written(process.pid) < enough:
            time.sleep(0.002)
        if process.poll() is not None:
            assert finished(process) == digest
            shutil.rmtree(out)
            before = {}
            continue
        process.send_signal(signal.SIGKILL)
        process.communicate()
        killed += 1
        named = {path.name: path for path in out.glob("*") if path.is_file()}
        assert all(path.read_bytes() == expected[name] for name, path in named.items())
        assert "manifest.json" not in named or named.keys() == expected.keys()
        vouched = {name for name, _ in State(out).ledger()}
        weights = {name: path.stat().st_ino for name, path in named.items() if name in vouched}
        assert before.items() <= weights.items(), "what was finished is not done again"
        before, longest = weights, max(longest, len(weights))
    assert finished(start(checkpoint, out)) == digest
    assert longest > 2, "no run came far enough to keep anything"
    assert {path.name: path.read_bytes() for path in out.iterdir()} == expected


def written(pid: int) -> int:
    """Bytes that a process has given to the kernel to write; 0 when it has ended."""
    with contextlib.suppress(OSError):
        lines = Path(f"/proc/{pid}/io").read_text().splitlines()
        return int(dict(line.split(": ") for line in lines)["wchar"])
    return 0


def test_a_signal_ends_it_and_the_next_run_goes_on(tmp_path: Path, checkpoint: Path) -> None:
    program = str(Path(sys.executable).parent / "llama-weights")
    arguments = [program, "convert", str(checkpoint), str(tmp_path / "out"), "--jobs", "1"]
    process = subprocess.Popen(arguments, text=True, stdout=subprocess.PIPE)
    part = tmp_path / "out/.fetch/model.safetensors.part"
    while process.poll() is None and not part.exists():
        time.sleep(0.002)
    process.terminate()
    said = json.loads(process.communicate()[0].splitlines()[-1])
    assert (process.returncode, said["ok"]) == (75, False)
    assert not (tmp_path / "out/manifest.json").exists()
    assert command("convert", checkpoint, tmp_path / "out").returncode == 0


def test_a_second_conversion_into_one_directory_waits_its_turn(
    tmp_path: Path, checkpoint: Path
) -> None:
    out = tmp_path / "out"
    first = start(checkpoint, out)
    while first.poll() is None and written(first.pid) < MEBIBYTE:
        time.sleep(0.002)
    first.send_signal(signal.SIGSTOP)
    try:
        second = command("convert", checkpoint, out)
    finally:
        first.send_signal(signal.SIGCONT)
    said = json.loads(second.stdout.splitlines()[-1])
    assert (second.returncode, said["reason"]) == (75, "Locked")
    assert str(first.pid) in said["message"]
    digest = finished(first)
    assert finished(start(checkpoint, out)) == digest


def test_memory_does_not_grow_with_the_tensors(tmp_path: Path, checkpoint: Path) -> None:
    process, peak = start(checkpoint, tmp_path / "out"), 0
    while process.poll() is None:
        peak = max(peak, anonymous(process.pid))
        time.sleep(0.005)
    finished(process)
    # Four blocks of 8 MiB for each of two files, and the interpreter; the largest tensor has 64 MiB.
    assert 10 * MEBIBYTE < peak < 96 * MEBIBYTE, peak / MEBIBYTE


def anonymous(pid: int) -> int:
    """Bytes of anonymous memory (RssAnon) of a process; 0 when it has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    found = [line.split() for line in lines if line.startswith("RssAnon:")]
    return int(found[0][1]) * 1024 if found else 0


def command(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).parent / "llama-weights"
    everything = [str(program), *map(str, arguments)]
    return subprocess.run(everything, text=True, capture_output=True, check=False, timeout=120)


def test_the_command_converts_and_verifies(tmp_path: Path, checkpoint: Path) -> None:
    out = tmp_path / "out"
    done = command("convert", checkpoint, out, "--jobs", "1")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["ok"] is True
    assert result["format"] == "safetensors"
    checked = command("verify", out)
    assert json.loads(checked.stdout.splitlines()[-1])["digest"] == result["digest"]
    listed = json.loads(command("ls", tmp_path, "-o", "json").stdout)
    assert [each["repo"] for each in listed] == ["Meta-Llama-3-8B"]
    with (out / "model.safetensors").open("r+b") as opened:
        opened.seek(50_000)
        opened.write(b"changed")
    assert command("verify", out).returncode == 1


def test_the_command_says_why_it_refuses(tmp_path: Path, checkpoint: Path) -> None:
    done = command("convert", checkpoint, tmp_path / "out", "--model", "llama-4-scout")
    assert done.returncode == 1
    result = json.loads(done.stdout.splitlines()[-1])
    assert (result["ok"], result["condition"], result["reason"]) == (
        False,
        "Converted",
        "FormatUnsupported",
    )
    assert "Traceback" not in done.stderr
    assert command("convert", tmp_path, tmp_path / "out", "--model", "gpt-2").returncode == 2


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small file system")
def test_a_volume_that_is_too_small(tmp_path: Path, checkpoint: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(small)], check=True)
    try:
        done = command("convert", checkpoint, small / "out")
        assert done.returncode == 1
        assert json.loads(done.stdout.splitlines()[-1])["reason"] == "Full"
    finally:
        subprocess.run(["umount", str(small)], check=True)

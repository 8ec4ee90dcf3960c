"""How near fetch and convert come to what the machine can do; run by `make bench-weights`.

Everything is measured in one run, on loopback and on the local disk, and told as ratios. Exits 1
where one of the project's figures is missed.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.bench import limits
from tests.bench.checkpoints import SHAPES, write
from tests.bench.fast_hub import COMMIT, REPO
from tests.support.vllm_cpu.install import install

MIB, GIB = 1 << 20, 1 << 30
SHARDS = 4
FETCH_RATIO, CONVERT_RATIO, FETCH_MEMORY = 0.9, 0.7, 512 * MIB


@dataclass(frozen=True)
class Run:
    """A program that ended: seconds and its largest resident memory."""

    seconds: float
    resident: int


def timed(command: list[str], **env: str) -> Run:
    """Run a program; raises CalledProcessError when it fails."""
    began = time.monotonic()
    process = subprocess.Popen(
        command, env={**os.environ, **env}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    assert process.stdout is not None
    said = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command, said)
    return Run(time.monotonic() - began, usage.ru_maxrss * 1024)


@dataclass(frozen=True)
class Hub:
    """A hub that runs: port, process, and the bytes of each of its files."""

    port: int
    pid: int
    size: int

    @property
    def names(self) -> list[str]:
        """Its large files."""
        return [f"model-{n:05d}-of-{SHARDS:05d}.safetensors" for n in range(1, SHARDS + 1)]


@contextmanager
def hub(total: int) -> Iterator[Hub]:
    """Start one in a process of its own."""
    size = total // SHARDS
    command = [sys.executable, "-m", "tests.bench.fast_hub", f"--shards={SHARDS}"]
    process = subprocess.Popen(
        [*command, f"--shard-bytes={size}"], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        yield Hub(int(process.stdout.readline()), process.pid, size)
    finally:
        process.kill()
        process.wait()


@dataclass(frozen=True)
class Round:
    """One turn: the limits of these seconds, us, and the other."""

    network: float
    disk: float
    sha256: float
    ours: Run
    theirs: Run

    @property
    def weakest(self) -> float:
        """Bytes per second that cannot be passed."""
        return min(self.network, self.disk, self.sha256)


def one_round(directory: Path, served: Hub, total: int) -> Round:
    """The disk is measured before and after: a cloud's disk has better and worse minutes."""
    network = limits.loopback(served.port, served.names, served.size, served.pid)
    before = limits.disk(directory, total)
    ours = _ours(directory / "ours", served.port)
    after = limits.disk(directory, total)
    theirs = _theirs(directory / "theirs", served.port)
    sha256 = limits.hashed_beside(network, before, own=limits.hashing())
    disk = statistics.harmonic_mean([before.rate, after.rate])
    return Round(network.rate, disk, sha256, ours, theirs)


def fetching(directory: Path, total: int, rounds: int) -> list[bool]:
    """Fetch against its limits, and against `hf download`, in turn; medians are judged."""
    turns = []
    with hub(total) as served:
        for number in range(rounds):
            turns.append(one_round(directory, served, total))
            _show(number + 1, turns[-1], total)
    ratio = statistics.median(total / each.ours.seconds / each.weakest for each in turns)
    versus = statistics.median(each.theirs.seconds / each.ours.seconds for each in turns)
    resident = max(each.ours.resident for each in turns)
    return [
        judged("fetch / weakest limit", ratio, FETCH_RATIO),
        judged("hf download / fetch, seconds", versus, 1.0),
        judged("512 MiB / resident of fetch", FETCH_MEMORY / resident, 1.0),
    ]


def _show(number: int, turn: Round, total: int) -> None:
    for name in ("network", "disk", "sha256"):
        found = getattr(turn, name)
        mark = " (the weakest)" if found == turn.weakest else ""
        say(f"round {number}: limit {name}", found / MIB, f"MiB/s{mark}")
    for name, run in (("fetch", turn.ours), ("hf download", turn.theirs)):
        unit = f"MiB/s, {run.resident / MIB:.0f} MiB resident"
        say(f"round {number}: {name}", total / run.seconds / MIB, unit)


def _ours(directory: Path, port: int) -> Run:
    limits.forget_pages()
    where = [f"--repo={REPO}", f"--commit={COMMIT}", f"--dest={directory}"]
    command = [sys.executable, "-m", "llama_weights", "fetch", *where]
    found = timed([*command, f"--endpoint=http://127.0.0.1:{port}"], HF_TOKEN="", NO_PROXY="*")
    shutil.rmtree(directory)
    return found


def _theirs(directory: Path, port: int) -> Run:
    limits.forget_pages()
    program = str(install() / "bin/hf")
    settings = {
        "HF_ENDPOINT": f"http://127.0.0.1:{port}", "HF_HUB_DISABLE_XET": "1", "NO_PROXY": "*",
        "HF_HOME": str(directory / "home"), "HF_HUB_DISABLE_TELEMETRY": "1",
    }  # fmt: skip
    command = [program, "download", REPO, "--revision", COMMIT, "--local-dir", str(directory)]
    found = timed(command, **settings)
    os.sync()
    shutil.rmtree(directory)
    return found


def converting(directory: Path, name: str, layers: int, rounds: int) -> list[bool]:
    """Convert against copies of the same bytes before and after; the median is judged."""
    shape = SHAPES[name]
    source = write(directory / shape.model, shape, layers)
    total = sum(path.stat().st_size for path in source.iterdir())
    turns = []
    before = _copied(source)
    for number in range(1, rounds + 1):
        run = _converted(source, shape.model)
        after = _copied(source)
        copied = statistics.harmonic_mean([before, after])
        turns.append((total / run.seconds / copied, run.resident))
        say(f"round {number}: cp and fsync", copied / MIB, f"MiB/s of {total / GIB:.1f} GiB")
        unit = f"MiB/s, {run.resident / MIB:.0f} MiB resident"
        say(f"round {number}: convert", total / run.seconds / MIB, unit)
        before = after
    shutil.rmtree(source)
    ratios, residents = zip(*turns, strict=True)
    bound = shape.largest + 512 * MIB
    return [
        judged(f"{name}: convert / cp", statistics.median(ratios), CONVERT_RATIO),
        judged(f"{name}: (largest tensor + 512 MiB) / resident", bound / max(residents), 1.0),
    ]


def _copied(source: Path) -> float:
    limits.forget_pages()
    return limits.copying(source, source.with_name("copied"))


def _converted(source: Path, model: str) -> Run:
    limits.forget_pages()
    out = source.with_name("converted")
    command = [sys.executable, "-m", "llama_weights", "convert", str(source), str(out)]
    found = timed([*command, f"--model={model}"])
    shutil.rmtree(out)
    return found


def say(what: str, value: float, unit: str) -> None:
    """One measured figure."""
    print(f"  {what:<44} {value:8.0f} {unit}", flush=True)


def judged(what: str, ratio: float, least: float) -> bool:
    """A ratio and whether it is as good as it must be."""
    verdict = "ok" if ratio >= least else "MISSED"
    print(f"  {what:<44} {ratio:8.2f} (at least {least:g}) {verdict}", flush=True)
    return ratio >= least


def main() -> int:
    """Exit status 1 when a figure is missed."""
    parser = argparse.ArgumentParser(prog="make bench-weights", description=__doc__)
    parser.add_argument("--gib", type=float, default=8.0, help="size of the fetch")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each")
    parser.add_argument("--layers", type=int, default=8, help="layers of the checkpoints")
    parser.add_argument("--only", choices=("fetch", "convert"))
    parser.add_argument("--dir", type=Path, help="where to write; default: the temporary directory")
    options = parser.parse_args()
    passed: list[bool] = []
    with tempfile.TemporaryDirectory(dir=options.dir, prefix="bench-weights-") as scratch:
        if options.only != "convert":
            print(f"fetch, {options.gib:g} GiB in {SHARDS} files", flush=True)
            passed += fetching(Path(scratch), int(options.gib * GIB), options.rounds)
        for name in SHAPES if options.only != "fetch" else ():
            print(f"convert, {name}, {options.layers} layers", flush=True)
            passed += converting(Path(scratch), name, options.layers, options.rounds)
    return 0 if all(passed) else 1


if __name__ == "__main__":
    sys.exit(main())

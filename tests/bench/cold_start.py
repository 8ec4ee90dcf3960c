"""What a start costs: with a compile cache and without, and what stands before the engine adds.

Run by `make bench-cold-start`; exits 1 where a figure of the project's goals is missed. Real vLLM
on this machine's processor, with torch.compile, and the keeper of the cache as a process beside it,
just as in a pod: what the second start finds went through the keeper's file.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import click

from llama_operator import compilecache, guard, sources, warmup
from llama_operator.diagnose import startup
from tests.support.models import tiny
from tests.support.vllm_cpu import serve

FASTER, MORE = 0.25, 1.05
LIMIT_SECONDS = 400.0
COMPILED = "--no-enforce-eager"


@dataclass(frozen=True)
class Start:
    """How long one start took, and what of it the engine told."""

    seconds: float
    restore_seconds: float = 0.0
    told: startup.Told = field(default_factory=startup.Told)


class Place:
    """Directories of one bench: the volume stays, the pod's own are made anew for each start."""

    def __init__(self, root: Path) -> None:
        self.root, self.store, self.cache = root, root / "store", root / "cache"
        self.code = root / "code"
        self.store.mkdir()
        self.code.mkdir()
        for file in (guard.FILE, warmup.FILE, compilecache.FILE):
            (self.code / file.name).write_text(sources.carried(file))

    def fresh(self) -> None:
        """A pod that has just been made."""
        shutil.rmtree(self.cache, ignore_errors=True)
        self.cache.mkdir()

    def env(self, *, ours: bool) -> Mapping[str, str]:
        """As a pod has it; `ours`: with what stands before the engine."""
        both = {
            "VLLM_API_KEY": "",
            "VLLM_CACHE_ROOT": str(self.cache / "vllm"),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        more = {"PYTHONPATH": str(self.code), guard.KEYS_VARIABLE: guard.NO_KEYS}
        return {**both, **more} if ours else both


def started(place: Place, *, ours: bool, compiled: bool = True, keep: bool = False) -> Start:
    """One start to its first healthy answer; `keep`: what it compiled is kept while it serves."""
    both = (warmup.MIDDLEWARE, guard.MIDDLEWARE)
    args = [*([COMPILED] if compiled else []), *(f"--middleware={m}" for m in both if ours)]
    log = place.root / "log"
    with serve(
        tiny(),
        name="tiny",
        args=args,
        env=place.env(ours=ours),
        log=log,
        ready_within=LIMIT_SECONDS,
    ) as server:
        if keep:
            kept = keeper(place, f"http://127.0.0.1:{server.port}/health", "kept ")
            (archive,) = place.store.glob("*.tar")
            click.echo(f"kept in {kept:.1f} s, {archive.stat().st_size / 1e6:.0f} MB")
    told = startup.told(log.read_text(errors="replace").splitlines())
    return Start(server.seconds_to_ready, told=told)


def keeper(place: Place, health: str, until: str) -> float:
    """Run the keeper until a line of its log, and end it as a kubelet does; seconds."""
    began = time.perf_counter()
    values = {
        compilecache.CACHE_VARIABLE: str(place.cache),
        compilecache.STORE_VARIABLE: str(place.store),
        compilecache.KEY_VARIABLE: "bench",
        compilecache.HEALTH_VARIABLE: health,
    }
    process = subprocess.Popen(
        [sys.executable, "-S", str(place.code / compilecache.FILE.name)],
        env={"PATH": os.defpath, **values},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        if not any(until in line for line in process.stderr or ()):
            raise click.ClickException(f"the keeper ended without {until!r}")
        return time.perf_counter() - began
    finally:
        process.terminate()
        process.wait(20)


def compared(place: Place) -> tuple[Start, Start]:
    """The first start, and the second one with what the first has left."""
    place.fresh()
    first = started(place, ours=True, keep=True)
    told("first start", first)
    place.fresh()
    restored = keeper(place, "http://127.0.0.1:1/health", " restored in ")
    second = started(place, ours=True)
    return first, Start(second.seconds + restored, restored, second.told)


def by_turns(place: Place, rounds: int) -> tuple[list[float], list[float]]:
    """Seconds to the first 200 of a plain engine and of ours; who is first changes."""
    plain: list[float] = []
    ours: list[float] = []
    for number in range(rounds):
        order = (True, False) if number % 2 else (False, True)
        for mine in order:
            place.fresh()
            start = started(place, ours=mine, compiled=False)
            (ours if mine else plain).append(start.seconds)
    return plain, ours


def told(name: str, start: Start) -> None:
    """One line."""
    found = start.told
    parts = {"compile": found.compile_seconds, "first token": found.first_token_seconds}
    known = [f"{key} {value:.1f} s" for key, value in parts.items() if value is not None]
    known += [f"restored in {start.restore_seconds:.1f} s"] if start.restore_seconds else []
    click.echo(f"{name:<30}{start.seconds:8.1f} s  {', '.join(known)}")


@click.command()
@click.option("--rounds", default=5, show_default=True, help="Starts of each kind, by turns.")
def main(rounds: int) -> None:
    """Print what starts take; exit 1 where a figure is missed."""
    with tempfile.TemporaryDirectory(prefix="cold-", dir="/tmp") as folder:
        place = Place(Path(folder))
        first, second = compared(place)
        told("second, with its cache", second)
        faster = 1 - second.seconds / first.seconds
        click.echo(f"{faster:.0%} faster (goal {FASTER:.0%})")
        ratio = 1.0
        if rounds:
            plain, ours = by_turns(place, rounds)
            ratio = median(ours) / median(plain)
            click.echo(
                f"to the first 200, median of {rounds}: plain {median(plain):.1f} s, with guard and "
                f"warm-up {median(ours):.1f} s: {ratio:.2f} times (goal {MORE})"
            )
    sys.exit(int(faster < FASTER or ratio > MORE))


if __name__ == "__main__":
    main()

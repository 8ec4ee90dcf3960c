"""The steps of `bench`: find the servers, warm them up, load them, report."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from typing import Any, Protocol

from llamactl import bench_load, bench_stats, bench_view, engine, output
from llamactl.bench_load import Load
from llamactl.bench_stats import Sample
from llamactl.errors import CliError
from llamactl.kube import open_cluster

PLAIN_EVERY = 10


class Counter(Protocol):
    """Where requests that ended are counted."""

    def __call__(self) -> None:
        """One more."""


def run(name: str, load: Load, warmup: int, fmt: str) -> None:
    """Raises CliError where a request failed; the report is printed all the same."""
    targets = engine.find_all(open_cluster(), name)
    _warm_up(targets, load, warmup)
    samples: list[Sample] = []
    try:
        with _progress(load.requests) as counted:
            for each in bench_load.run(targets, load):
                samples.append(each)
                counted()
    except KeyboardInterrupt:
        output.talk(f"\nStopped after {len(samples)} of {load.requests} requests.")
        _report(name, targets, load, samples, fmt)
        raise
    report = _report(name, targets, load, samples, fmt)
    if report["failed"]:
        raise CliError(
            f"{report['failed']} of {load.requests} requests failed: {report['errors'][0]}",
            next=targets[0].kube.settings.llamactl("status", name),
        )


def _warm_up(targets: Sequence[engine.Target], load: Load, count: int) -> None:
    for number in range(count * len(targets)):
        other = replace(load, seed=-1 - load.seed)
        found = bench_load.one(targets[number % len(targets)], other, number)
        if found.error:
            raise CliError(f"the first request failed: {found.error}")


def _report(
    name: str, targets: Sequence[engine.Target], load: Load, samples: Sequence[Sample], fmt: str
) -> dict[str, Any]:
    asked = {"deployment": name, "model": targets[0].model, "replicas": len(targets)}
    wanted = {"promptTokensAsked": load.prompt_tokens, "maxTokens": load.max_tokens}
    counts = {key: asdict(load)[key] for key in ("requests", "concurrency", "seed")}
    report = {**asked, **counts, **wanted, **bench_stats.summary(samples)}
    if fmt == "text":
        output.data(bench_view.text(report, samples, output.width()))
    else:
        output.document(report, fmt)
    return report


@contextmanager
def _progress(total: int) -> Iterator[Counter]:
    if not output.interactive():
        yield _Plain(total)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("requests", total=total)
        yield lambda: bar.advance(task)


class _Plain:
    """A line for each tenth, for logs and pipes."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._done = 0

    def __call__(self) -> None:
        """One more."""
        before, self._done = self._done, self._done + 1
        if PLAIN_EVERY * self._done // self._total > PLAIN_EVERY * before // self._total:
            output.talk(f"{self._done} of {self._total} requests")

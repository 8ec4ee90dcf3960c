"""One piece of work from start to its last words: signals, errors, result, exit code.

Exit codes tell a Job what to do: 0 done, 1 no retry will help, 2 wrong usage, 75 try again.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import click

from llama_weights import result
from llama_weights.errors import DownloadError, Interrupted, WeightsError
from llama_weights.manifest import Manifest
from llama_weights.meter import Meter
from llama_weights.metrics import served
from llama_weights.progress import every, shown
from llama_weights.report import SECONDS, Reporter
from llama_weights.retry import Patience, Policy

RESULT = click.option(
    "--result",
    "result_file",
    type=click.Path(path_type=Path),
    help="File for the result; default the pod's termination log.",
)
PROGRESS = click.option(
    "--progress-object",
    default="",
    metavar="NAMESPACE/NAME",
    help="LlamaWeights whose status tells how far it is.",
)
METRICS = click.option(
    "--metrics-port", default=0, type=click.IntRange(0, 65535), help="Serve /metrics; 0: do not."
)


def run(
    work: Callable[[Patience], dict[str, Any]], policy: Policy, result_file: Path | None
) -> None:
    """Do the work and end the process with its exit code."""
    stop = threading.Event()
    code = 0
    try:
        with _signals(stop):
            found = {"ok": True, **work(Patience(policy, stop))}
    except WeightsError as error:
        found, code = result.failure(error), error.exit_code
    except Exception as error:  # the Job's last words must come, whatever happened
        trace = traceback.format_exc()
        click.echo(result.scrub(trace, result.secrets(os.environ)), err=True)
        unknown = DownloadError("Failed", f"{type(error).__name__}: {error}", temporary=True)
        found, code = result.failure(unknown), unknown.exit_code
    text = result.encode(found, result.secrets(os.environ))
    click.echo(text)
    try:
        result.write(text, result_file)
    except WeightsError as error:
        click.echo(f"--result: {error}", err=True)
        code = code or error.exit_code
    # Threads that hang in a connection must not hold the process back.
    sys.stdout.flush()
    sys.stderr.flush()
    sys.exit(code)


def published(made: Manifest) -> dict[str, Any]:
    """What is said of a complete copy."""
    return {
        "digest": made.digest,
        "commit": made.commit,
        "bytes": made.total,
        "files": len(made.files),
        "format": made.format,
    }


@contextlib.contextmanager
def watched(meter: Meter, target: str, port: int) -> Iterator[None]:
    """Show a meter to whoever watches: a terminal or log, the cluster, Prometheus."""
    with shown(meter), reported(target, meter), served(meter, port):
        yield


@contextlib.contextmanager
def reported(target: str, meter: Meter) -> Iterator[None]:
    """Write progress into the object that is named, if one is."""
    if not target:
        yield
        return
    reporter = Reporter(target, meter)
    with every(SECONDS, reporter.report):
        yield


@contextlib.contextmanager
def _signals(stop: threading.Event) -> Iterator[None]:
    """Turn SIGTERM and SIGINT into Interrupted, once. PID 1 would otherwise ignore them."""

    def handler(_number: int, _frame: FrameType | None) -> None:
        if not stop.is_set():
            stop.set()
            raise Interrupted

    numbers = (signal.SIGTERM, signal.SIGINT)
    before = [signal.signal(number, handler) for number in numbers]
    try:
        yield
    finally:
        for number, old in zip(numbers, before, strict=True):
            signal.signal(number, old)

"""The `llama-weights` command: preflight, fetch, convert, verify, ls.

Exit codes tell a Job what to do: 0 done, 1 no retry will help, 2 wrong usage, 75 try again.
"""

from __future__ import annotations

import contextlib
import json
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
from llama_weights.convert.convert import JOBS, Order, convert
from llama_weights.copies import Copy, copies
from llama_weights.errors import DownloadError, Interrupted, UsageError, WeightsError
from llama_weights.fetch import Wish, fetch
from llama_weights.meter import Meter
from llama_weights.preflight import preflight
from llama_weights.progress import every, shown
from llama_weights.report import SECONDS, Reporter
from llama_weights.retry import Patience, Policy
from llama_weights.sources.address import (
    DEFAULT_ENDPOINT,
    check_repo,
    check_revision,
    is_commit,
)
from llama_weights.sources.client import Client, account
from llama_weights.sources.huggingface import Checkpoint
from llama_weights.transport import Transport
from llama_weights.verify import verify
from llama_weights.volume import size

_ENDPOINT = click.option("--endpoint", default="", help="Hub address; default HF_ENDPOINT.")
_RESULT = click.option(
    "--result",
    "result_file",
    type=click.Path(path_type=Path),
    help="File for the result; default the pod's termination log.",
)
_REPO = click.option("--repo", required=True, metavar="ORG/NAME")
_RETRIES = click.option("--retries", default=6, show_default=True, help="Failures in a row.")
_STALL = click.option(
    "--stall-timeout", default=30.0, show_default=True, help="Seconds without a byte."
)


def main() -> None:
    """Entry point of the script."""
    app(prog_name="llama-weights")


@click.group()
@click.version_option(package_name="llama-operator")
def app() -> None:
    """Fetch and verify model weights. The token is taken from HF_TOKEN, never from arguments."""


@app.command("preflight")
@_REPO
@click.option("--revision", default="main", show_default=True, help="Branch, tag or commit.")
@_ENDPOINT
@_RESULT
@_STALL
@click.option("--retries", default=4, show_default=True, help="Failures in a row.")
@click.option("--rate-limit-wait", default=20.0, show_default=True, help="Seconds in all.")
def preflight_command(
    repo: str,
    revision: str,
    endpoint: str,
    result_file: Path | None,
    stall_timeout: float,
    retries: int,
    rate_limit_wait: float,
) -> None:
    """Ask for access, commit, size and shape, without a volume."""

    def work(patience: Patience) -> dict[str, Any]:
        client = _client(endpoint, patience, 1)
        finding = preflight(client, check_repo(repo), check_revision(revision))
        return vars(finding)

    policy = Policy(retries, 10.0, stall_timeout, rate_limit_wait=rate_limit_wait)
    _run(work, policy, result_file)


@app.command("fetch")
@_REPO
@click.option("--commit", required=True, help="Full commit id (40 hex digits).")
@click.option("--dest", required=True, type=click.Path(path_type=Path), metavar="DIR")
@_ENDPOINT
@click.option("--connections", default=16, show_default=True, type=click.IntRange(1, 256))
@click.option("--max-bytes-per-second", default=0, type=click.IntRange(0), help="0: no limit.")
@_RESULT
@click.option("--progress-object", default="", metavar="NAMESPACE/NAME")
@_RETRIES
@_STALL
@click.option("--rate-limit-wait", default=900.0, show_default=True, help="Seconds in all.")
@click.option("--lock-ttl", default=60.0, show_default=True, help="Seconds of silence.")
def fetch_command(
    repo: str,
    commit: str,
    dest: Path,
    endpoint: str,
    connections: int,
    max_bytes_per_second: int,
    result_file: Path | None,
    progress_object: str,
    retries: int,
    stall_timeout: float,
    rate_limit_wait: float,
    lock_ttl: float,
) -> None:
    """Download what vLLM needs into DIR, verified, its manifest last; goes on where it stopped."""

    def work(patience: Patience) -> dict[str, Any]:
        if not is_commit(commit):
            raise UsageError(f"{commit[:80]!r} is not a full commit id", field="--commit")
        meter = Meter()
        source = Checkpoint(_client(endpoint, patience, connections), check_repo(repo), commit)
        wish = Wish(dest.absolute(), connections, max_bytes_per_second, lock_ttl)
        with shown(meter), _reported(progress_object, meter):
            made = fetch(wish, source, meter, patience)
        return {
            "digest": made.digest,
            "commit": made.commit,
            "bytes": made.total,
            "files": len(made.files),
            "format": made.format,
        }

    policy = Policy(retries, 10.0, stall_timeout, rate_limit_wait=rate_limit_wait)
    _run(work, policy, result_file)


@app.command("convert")
@click.argument("source", type=click.Path(path_type=Path), metavar="SRC")
@click.argument("destination", type=click.Path(path_type=Path), metavar="DEST")
@click.option("--model", default="", metavar="ID", help="Such as llama-3.1-8b-instruct.")
@click.option("--jobs", default=JOBS, show_default=True, type=click.IntRange(1, 64))
@_RESULT
def convert_command(
    source: Path, destination: Path, model: str, jobs: int, result_file: Path | None
) -> None:
    """Write Meta's consolidated.NN.pth of SRC as safetensors into DEST, its manifest last.

    The model is told from --model or the name of SRC. A stopped conversion goes on where it was.
    """

    def work(patience: Patience) -> dict[str, Any]:
        meter = Meter()
        order = Order(source, destination.absolute(), model, jobs)
        with shown(meter):
            made = convert(order, meter, patience.stop)
        return {
            "digest": made.digest,
            "commit": made.commit,
            "bytes": made.total,
            "files": len(made.files),
            "format": made.format,
        }

    _run(work, Policy(), result_file)


@app.command("verify")
@click.argument("directory", type=click.Path(path_type=Path))
@_RESULT
def verify_command(directory: Path, result_file: Path | None) -> None:
    """Read every byte of a copy again and compare it with the manifest."""

    def work(patience: Patience) -> dict[str, Any]:
        meter = Meter()
        with shown(meter):
            found = verify(directory, meter, patience.stop)
        return {
            "digest": found.digest,
            "commit": found.commit,
            "bytes": found.total,
            "files": len(found.files),
        }

    _run(work, Policy(), result_file)


@app.command("ls")
@click.argument("root", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table")
def ls_command(root: Path, output: str) -> None:
    """List the copies below a directory."""
    found = copies(root)
    if output == "json":
        click.echo(json.dumps([vars(copy) for copy in found], indent=2))
    else:
        _table(found)


def _run(
    work: Callable[[Patience], dict[str, Any]], policy: Policy, result_file: Path | None
) -> None:
    stop = threading.Event()
    code = 0
    try:
        with _signals(stop):
            found = {"ok": True, **work(Patience(policy, stop))}
    except WeightsError as error:
        found, code = result.failure(error), error.exit_code
    except Exception as error:  # the Job's last words must come, whatever happened
        trace = traceback.format_exc()
        click.echo(result.scrub(trace, os.environ.get("HF_TOKEN", "")), err=True)
        unknown = DownloadError("Failed", f"{type(error).__name__}: {error}", temporary=True)
        found, code = result.failure(unknown), unknown.exit_code
    text = result.encode(found, os.environ.get("HF_TOKEN", ""))
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


def _client(endpoint: str, patience: Patience, connections: int) -> Client:
    address = endpoint or os.environ.get("HF_ENDPOINT", "") or DEFAULT_ENDPOINT
    # Checked before anything else is set up: nothing may be asked with an unfit token.
    checked = account(address, os.environ.get("HF_TOKEN", ""))
    return Client(checked, Transport(patience.policy, connections), patience)


@contextlib.contextmanager
def _reported(target: str, meter: Meter) -> Iterator[None]:
    if not target:
        yield
        return
    reporter = Reporter(target, meter)
    with every(SECONDS, reporter.report):
        yield


def _table(found: list[Copy]) -> None:
    from rich.console import Console  # noqa: PLC0415 - only people need it
    from rich.table import Table  # noqa: PLC0415

    table = Table("DIRECTORY", "REPOSITORY", "COMMIT", "FILES", "SIZE", "STATE", box=None)
    for copy in found:
        numbers = (str(copy.files), size(copy.bytes))
        table.add_row(copy.path, copy.repo, copy.commit[:12], *numbers, copy.state)
    Console().print(table)


if __name__ == "__main__":
    main()

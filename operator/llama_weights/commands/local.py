"""convert, verify, inspect, adopt and ls: what works on a disk and asks nobody."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from llama_weights.adopt import adopt, inspect
from llama_weights.convert.convert import JOBS, Order, convert
from llama_weights.copies import Copy, copies
from llama_weights.fetch import Wish, fetch
from llama_weights.meta_fetch import find_model
from llama_weights.meter import Meter
from llama_weights.retry import Patience, Policy
from llama_weights.running import METRICS, PROGRESS, RESULT, published, run, watched
from llama_weights.sources import folder
from llama_weights.verify import verify
from llama_weights.volume import size


@click.command("convert")
@click.argument("source", type=click.Path(path_type=Path), metavar="SRC")
@click.argument("destination", type=click.Path(path_type=Path), metavar="DEST")
@click.option("--model", default="", metavar="ID", help="Such as llama-3.1-8b-instruct.")
@click.option(
    "--jobs",
    default=JOBS,
    show_default="one for each CPU, at most 4",
    type=click.IntRange(1, 64),
    help="Files at once.",
)
@PROGRESS
@METRICS
@RESULT
def convert_command(
    source: Path,
    destination: Path,
    model: str,
    jobs: int,
    progress_object: str,
    metrics_port: int,
    result_file: Path | None,
) -> None:
    """Write Meta's consolidated.NN.pth of SRC as safetensors into DEST, its manifest last.

    The model is told from --model or the name of SRC. A stopped conversion goes on where it was.
    """

    def work(patience: Patience) -> dict[str, Any]:
        meter = Meter()
        order = Order(source, destination.absolute(), model, jobs)
        with watched(meter, progress_object, metrics_port):
            return published(convert(order, meter, patience.stop))

    run(work, Policy(), result_file)


@click.command("verify")
@click.argument("directory", type=click.Path(path_type=Path))
@PROGRESS
@METRICS
@RESULT
def verify_command(
    directory: Path, progress_object: str, metrics_port: int, result_file: Path | None
) -> None:
    """Read every byte of a copy again and compare it with the manifest."""

    def work(patience: Patience) -> dict[str, Any]:
        meter = Meter()
        with watched(meter, progress_object, metrics_port):
            return published(verify(directory, meter, patience.stop))

    run(work, Policy(), result_file)


@click.command("inspect")
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--model", default="", metavar="ID", help="Id of the catalogue.")
@click.option("--entry", default="", metavar="JSON", help="Entry of a catalogue.")
@click.option("--adapter", is_flag=True, help="A LoRA adapter.")
@RESULT
def inspect_command(
    directory: Path, model: str, entry: str, adapter: bool, result_file: Path | None
) -> None:
    """Say what files that somebody put there are, by a quick look; nothing is written."""

    def work(_patience: Patience) -> dict[str, Any]:
        if adapter:
            return folder.look(directory)
        known = find_model(model, entry) if model or entry else None
        return vars(inspect(directory, known))

    run(work, Policy(), result_file)


@click.command("adopt")
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--digest", default="", metavar="SHA256", help="What it was before, if it was.")
@PROGRESS
@METRICS
@RESULT
def adopt_command(
    directory: Path, digest: str, progress_object: str, metrics_port: int, result_file: Path | None
) -> None:
    """Read every byte of files that somebody put there, and give their digest; nothing is written."""

    def work(patience: Patience) -> dict[str, Any]:
        meter = Meter()
        with watched(meter, progress_object, metrics_port):
            return published(adopt(directory, digest, meter, patience.stop))

    run(work, Policy(), result_file)


@click.command("copy")
@click.argument("source", type=click.Path(path_type=Path), metavar="SRC")
@click.argument("destination", type=click.Path(path_type=Path), metavar="DEST")
@PROGRESS
@METRICS
@RESULT
def copy_command(
    source: Path,
    destination: Path,
    progress_object: str,
    metrics_port: int,
    result_file: Path | None,
) -> None:
    """Copy the LoRA adapter in SRC into DEST, verified, its manifest last."""

    def work(patience: Patience) -> dict[str, Any]:
        meter = Meter()
        with watched(meter, progress_object, metrics_port):
            found = folder.Folder(source, patience.stop)
            return published(fetch(Wish(destination.absolute(), 2), found, meter, patience))

    run(work, Policy(), result_file)


@click.command("ls")
@click.argument("root", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option(
    "-o",
    "--output",
    type=click.Choice(["table", "json"]),
    default="table",
    help="Form of the answer.",
)
def ls_command(root: Path, output: str) -> None:
    """List the copies below a directory."""
    found = copies(root)
    if output == "json":
        click.echo(json.dumps([vars(copy) for copy in found], indent=2))
    else:
        _table(found)


def _table(found: list[Copy]) -> None:
    from rich.console import Console  # noqa: PLC0415 - only people need it
    from rich.table import Table  # noqa: PLC0415

    table = Table("DIRECTORY", "REPOSITORY", "COMMIT", "FILES", "SIZE", "STATE", box=None)
    for copy in found:
        numbers = (str(copy.files), size(copy.bytes))
        table.add_row(copy.path, copy.repo, copy.commit[:12], *numbers, copy.state)
    Console().print(table)

"""`python -m tests.support.models tiny|smollm2`: make the model, print its directory."""

from __future__ import annotations

from pathlib import Path

import click

from tests.support.cluster.progress import Progress
from tests.support.models.smollm2 import smollm2
from tests.support.models.tiny import tiny
from tests.support.vllm_cpu.install import InstallError


@click.command()
@click.argument("model", type=click.Choice(["smollm2", "tiny"]))
@click.option("--out", type=click.Path(path_type=Path), help="Where to, instead of the cache.")
def main(model: str, out: Path | None) -> None:
    """Make MODEL unless it is there already; print its directory."""
    try:
        directory = tiny(out) if model == "tiny" else smollm2(out, Progress())
    except InstallError as error:
        raise click.ClickException(str(error)) from error
    click.echo(directory)


if __name__ == "__main__":
    main(prog_name="python -m tests.support.models")

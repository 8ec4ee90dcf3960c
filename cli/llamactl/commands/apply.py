"""`llamactl apply`: manifests of our kinds, from files or stdin."""

from __future__ import annotations

import click

from llamactl import options
from llamactl.command import Command


@click.command(
    cls=Command,
    examples=[
        "llamactl apply -f llama.yaml",
        "llamactl apply -f llama.yaml --dry-run=client",
        "llamactl apply -f weights.yaml -f llama.yaml --wait",
        "llamactl deploy 8b --dry-run=client | llamactl apply -f -",
    ],
)
@click.option(
    "-f",
    "--filename",
    "files",
    multiple=True,
    required=True,
    type=click.Path(exists=True, dir_okay=False, readable=True, allow_dash=True),
    help="File with manifests; - is the standard input. Can be repeated.",
)
@click.option("--overwrite", is_flag=True, help="Take over fields that somebody else set.")
@options.dry_run("client", "server")
@click.option("--wait", is_flag=True, help="Wait until copies are complete and deployments answer.")
@options.timeout("30m")
@options.output("text", "json", "yaml", "name")
@options.cluster
def command(
    files: tuple[str, ...], overwrite: bool, dry_run: str, wait: bool, timeout: float, fmt: str
) -> None:
    """Make or change the LlamaDeployments and LlamaWeights of a file.

    Every document is judged, here and by the API server, before the first one is written. What
    differs from the cluster and whether servers restart is said. The same file again changes
    nothing.
    """
    from llamactl import applying, documents

    found = documents.read(files)
    if dry_run == "client":
        applying.offline(found, fmt)
        return
    from llamactl.kube import open_cluster

    applying.run(
        open_cluster(),
        found,
        fmt,
        dry=dry_run == "server",
        overwrite=overwrite,
        wait=timeout if wait else None,
    )

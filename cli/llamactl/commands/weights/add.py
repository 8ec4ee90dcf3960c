"""`llamactl weights add`: a copy of a checkpoint, before anything serves it."""

from __future__ import annotations

from typing import Any

import click

from llamactl import options
from llamactl.command import Command


@click.command(
    cls=Command,
    examples=[
        "llamactl weights add 70b",
        "llamactl weights add 8b --source hf:org/mirror-of-8b@main --size 40Gi",
        "llamactl weights add 8b --source meta --meta-url-file url.txt --wait",
        "llamactl weights add 8b --source claim:my-models/llama/8b",
        "llamactl weights add 8b --dry-run=client > weights.yaml",
    ],
)
@click.argument("model")
@click.option("--name", default="", help="Name of the copy. Default: from the model.")
@click.option(
    "--source",
    default="hf",
    show_default=True,
    metavar="SOURCE",
    help="hf, hf:ORG/REPO[@REVISION], meta, or claim:NAME[/PATH] for files that lie there already.",
)
@options.hf_token
@click.option(
    "--meta-url-file",
    type=click.File("r"),
    help="URL of Meta's e-mail; stored in a Secret. - reads stdin.",
)
@click.option("--storage-class", metavar="NAME", help="StorageClass of the claim that is made.")
@click.option("--size", metavar="BYTES", help="Size of that claim, such as 200Gi.")
@click.option("--claim", metavar="NAME", help="An existing claim to keep the copy on.")
@options.assignments
@options.dry_run("client", "server")
@click.option("--wait", is_flag=True, help="Wait until it is complete and verified.")
@options.timeout("6h")
@options.output("text", "json", "yaml", "name")
@options.cluster
def command(model: str, fmt: str, **given: Any) -> None:
    """Fetch a copy of MODEL onto a volume; a deployment uses it by `weightsRef.name`.

    A deployment fetches its own copy; this is for one that is there beforehand, that several
    share, or that stays. The same command again changes nothing.
    """
    from llamactl import weights_add

    weights_add.Adding(model, given, fmt).run()

"""`llamactl rollout undo`: back to an earlier revision."""

from __future__ import annotations

import click

from llamactl import options
from llamactl.command import Command


@click.command(
    cls=Command,
    examples=[
        "llamactl rollout undo my-llama",
        "llamactl rollout undo my-llama --to 3",
        "llamactl rollout undo my-llama --to my-llama-4f1d2a90bc --dry-run=server",
        "llamactl rollout undo my-llama --off",
    ],
)
@options.name_argument
@click.option(
    "--to",
    "to",
    default="",
    metavar="REVISION",
    help="Name or number, as in `rollout history`. Default: the one before.",
)
@click.option("--off", is_flag=True, help="Follow the spec again.")
@options.dry_run("server")
@click.option("--wait", is_flag=True, help="Wait until all servers are of it.")
@options.timeout("30m")
@options.output("text", "json", "yaml", "name")
@options.cluster
def command(
    name: str, to: str, off: bool, dry_run: str, wait: bool, timeout: float, fmt: str
) -> None:
    """Bring the servers of deployment NAME back to an earlier revision.

    It sets spec.rollout.undoTo. Until that is removed (--off), servers stay at that revision
    whatever else the spec says; mend the spec meanwhile.
    """
    from llamactl import changing, history, outcome
    from llamactl.errors import BadValueError
    from llamactl.kube import open_cluster

    if to and off:
        raise BadValueError("it goes nowhere", field="--off", fix="Give --to or --off")
    kube = open_cluster()
    target = "" if off else history.target(kube, kube.deployment(name), to)
    dry = dry_run != "none"
    field = f"rollout.undoTo={target}" if target else "rollout.undoTo-"
    stored, verb = changing.run(kube, name, [field], dry=dry)
    outcome.tell(kube, stored, verb, fmt, dry=dry, wait=timeout if wait else None)

"""`llamactl weights verify`: every byte of a copy, read again."""

from __future__ import annotations

import click

from llamactl import options
from llamactl.command import Command


@click.command(
    cls=Command,
    examples=[
        "llamactl weights verify the-8b",
        "llamactl weights verify the-8b --wait --timeout 2h",
        "llamactl weights verify the-8b --schedule Weekly",
    ],
)
@options.weights_argument
@click.option(
    "--schedule",
    type=click.Choice(["Never", "Daily", "Weekly", "Monthly"]),
    help="Do it again and again from now on; Never ends that.",
)
@click.option("--wait", is_flag=True, help="Wait for the result; a bad one is exit code 1.")
@options.timeout("1h")
@options.output("text", "json", "yaml", "name")
@options.cluster
def command(name: str, schedule: str | None, wait: bool, timeout: float, fmt: str) -> None:
    """Ask for one round of verification of the copy NAME.

    A Job reads every byte and compares it with the hash that it was published with. Servers that
    run go on whatever is found: they have the weights in memory. With --schedule, no round is
    begun now.
    """
    from llamactl import weights_verify
    from llamactl.kube import open_cluster

    if schedule and wait:
        raise click.UsageError("--schedule begins no round that --wait could wait for; choose")
    kube = open_cluster()
    if schedule:
        weights_verify.plan(kube, name, schedule, fmt)
    else:
        weights_verify.ask(kube, name, timeout if wait else None, fmt)

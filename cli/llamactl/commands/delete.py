"""`llamactl delete`: say what goes and what is kept, ask, delete."""

from __future__ import annotations

import click

from llamactl import options, output
from llamactl.command import Command


@click.command(
    cls=Command,
    examples=[
        "llamactl delete my-llama",
        "llamactl delete my-llama --yes --no-wait",
        "llamactl delete my-llama --dry-run=server",
    ],
)
@options.name_argument
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@options.dry_run("server")
@click.option("--wait/--no-wait", default=True, help="Wait until it is gone (default).")
@options.timeout("5m")
@options.output("text", "name")
@options.cluster
def command(name: str, yes: bool, dry_run: str, wait: bool, timeout: float, fmt: str) -> None:
    """Delete deployment NAME: its servers, its endpoint and its API key.

    Downloaded weights and their volume are kept, for a while or for good; what exactly is said
    before you are asked.
    """
    from llamactl import confirm, deletion, outcome, view, waiting
    from llamactl.kube import open_cluster
    from llamactl.resources import DEPLOYMENTS

    kube = open_cluster()
    seen = waiting.snapshot(kube, name)
    for line in deletion.lines(seen):
        output.talk(line)
    dry = dry_run != "none"
    if not yes and not dry:
        confirm.ask(f"Delete {name}?")
    uid = str(view.path(seen.deployment, "metadata", "uid") or "")
    kube.delete(DEPLOYMENTS, name, uid=uid, foreground=wait, dry=dry)
    if dry:
        outcome.line(seen.deployment, "deleted (server dry run)", fmt)
        return
    if wait:
        with waiting.goes_on(f"the deletion of {name}", kube.settings.llamactl("list")):
            waiting.until_gone(kube, name, uid, timeout)
    outcome.line(seen.deployment, "deleted" if wait else "is being deleted", fmt)

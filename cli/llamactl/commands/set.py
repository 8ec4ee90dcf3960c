"""`llamactl set`: other values for fields of a deployment."""

from __future__ import annotations

import click

from llamactl import options
from llamactl.command import Command
from llamactl.complete import field_paths


@click.command(
    cls=Command,
    examples=[
        "llamactl set my-llama sizing.maxModelLen=16384",
        "llamactl set my-llama engine.image=vllm/vllm-openai:v0.24.0 --dry-run=server",
        "llamactl set my-llama 'engine.args=[--seed=1]' gpu.count-",
        "llamactl set my-llama paused=true",
    ],
)
@options.name_argument
@click.argument(
    "assignments",
    nargs=-1,
    required=True,
    metavar="FIELD=VALUE...",
    shell_complete=field_paths,
)
@options.dry_run("server")
@click.option("--wait", is_flag=True, help="Wait until the changed servers answer.")
@options.timeout("30m")
@options.output("text", "json", "yaml", "name")
@options.cluster
def command(
    name: str, assignments: tuple[str, ...], dry_run: str, wait: bool, timeout: float, fmt: str
) -> None:
    """Set fields of the spec of deployment NAME; FIELD- makes a field automatic again.

    The API server judges the change first; what differs and whether servers restart is said
    before it is made. Fields are written as in `kubectl explain llamadeployment.spec`, without
    the leading `spec.`.
    """
    from llamactl import changing, outcome
    from llamactl.kube import open_cluster

    changing.refuse_mixed(assignments)
    kube = open_cluster()
    dry = dry_run != "none"
    stored, verb = changing.run(kube, name, assignments, dry=dry)
    outcome.tell(kube, stored, verb, fmt, dry=dry, wait=timeout if wait else None)

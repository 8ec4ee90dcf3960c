"""`llamactl doctor`: what a failure of vLLM means, and what mends it."""

from __future__ import annotations

import click

from llamactl import options, output
from llamactl.command import Command


@click.command(
    cls=Command,
    examples=[
        "llamactl doctor --log server.log",
        "kubectl logs --previous --tail=400 POD | llamactl doctor --log -",
        "llamactl doctor --log server.log -o json | jq .fix",
    ],
)
@click.option(
    "--log",
    "path",
    type=click.Path(exists=True, dir_okay=False, readable=True, allow_dash=True),
    required=True,
    help="File with a log of vLLM, as kubectl prints it; - is the standard input.",
)
@options.output("text", "json", "yaml")
def command(path: str, fmt: str) -> None:
    """Name the cause in a log of vLLM, what it means, and the change of the spec that mends it.

    Needs no cluster. A cause that is not known is Unknown, with the line that tells most; so is a
    log without a failure. Both end with exit code 0. The fix is a patch of the LlamaDeployment,
    for `kubectl patch llama NAME --type=merge`, and empty where no field mends the failure.
    """
    from llamactl import doctor_view

    verdict = doctor_view.judge(path)
    if fmt == "text":
        output.data(doctor_view.page(verdict, output.width()))
    else:
        output.document(doctor_view.document(verdict), fmt)

"""`llamactl completion`: the completion script of a shell, on stdout."""

from __future__ import annotations

import click

from llamactl import output
from llamactl.command import Command

SCRIPT = "llamactl"
VARIABLE = "_LLAMACTL_COMPLETE"


@click.command(
    cls=Command,
    examples=[
        "llamactl completion bash > ~/.local/share/bash-completion/completions/llamactl",
        'llamactl completion zsh > "${fpath[1]}/_llamactl"',
        "llamactl completion fish > ~/.config/fish/completions/llamactl.fish",
    ],
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    """Print the completion script of SHELL; names of deployments complete from the cluster."""
    from click.shell_completion import get_completion_class

    from llamactl.app import cli

    maker = get_completion_class(shell)
    if maker is None:
        raise click.UsageError(f"no completion for {shell}")
    # The template only: click's source() runs bash to look at its version, and bash may be
    # missing where the script is made for another machine.
    made = maker(cli, {}, SCRIPT, VARIABLE)
    output.data(made.source_template % made.source_vars())

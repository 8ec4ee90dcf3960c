"""`llamactl completion`: the completion script of a shell, on stdout."""

from __future__ import annotations

import click

from llamactl import output
from llamactl.command import Command

SCRIPT = "llamactl"
VARIABLE = "_LLAMACTL_COMPLETE"
# kubectl gives the words so far, the last of them unfinished, and reads one word a line and then a
# directive: 4 is "offer no files".
KUBECTL = f"""#!/bin/sh
{VARIABLE}=bash_complete COMP_WORDS="{SCRIPT} $*" COMP_CWORD=$# {SCRIPT} | sed 's/^[a-z]*,//'
echo :4"""


@click.command(
    cls=Command,
    examples=[
        "llamactl completion bash > ~/.local/share/bash-completion/completions/llamactl",
        'llamactl completion zsh > "${fpath[1]}/_llamactl"',
        "llamactl completion fish > ~/.config/fish/completions/llamactl.fish",
        "llamactl completion kubectl > ~/.local/bin/kubectl_complete-llama",
    ],
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish", "kubectl"]))
def command(shell: str) -> None:
    """Print the completion script of SHELL; names of deployments complete from the cluster.

    That of kubectl completes `kubectl llama` in every shell that completes kubectl itself: put it on
    the PATH as kubectl_complete-llama and make it executable.
    """
    if shell == "kubectl":
        output.data(KUBECTL)
        return
    from click.shell_completion import get_completion_class

    from llamactl.app import cli

    maker = get_completion_class(shell)
    if maker is None:
        raise click.UsageError(f"no completion for {shell}")
    # The template only: click's source() runs bash to look at its version, and bash may be
    # missing where the script is made for another machine.
    made = maker(cli, {}, SCRIPT, VARIABLE)
    output.data(made.source_template % made.source_vars())

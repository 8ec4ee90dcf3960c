"""The `llama-weights` command: preflight, fetch, convert, inspect, adopt, copy, verify, ls, gc.

Exit codes tell a Job what to do: 0 done, 1 no retry will help, 2 wrong usage, 75 try again.
"""

from __future__ import annotations

import click

from llama_weights.commands.gc import gc_command
from llama_weights.commands.local import (
    adopt_command,
    convert_command,
    copy_command,
    inspect_command,
    ls_command,
    verify_command,
)
from llama_weights.commands.remote import fetch_command, preflight_command


def main() -> None:
    """Entry point of the script."""
    app(prog_name="llama-weights")


@click.group()
@click.version_option(package_name="llama-operator")
def app() -> None:
    """Fetch, verify and convert model weights.

    The token is taken from HF_TOKEN and Meta's signed URL from META_URL, never from arguments.
    """


for _command in (
    preflight_command,
    fetch_command,
    convert_command,
    verify_command,
    inspect_command,
    adopt_command,
    copy_command,
    ls_command,
    gc_command,
):
    app.add_command(_command)


if __name__ == "__main__":
    main()

"""`llamactl key`: the API key of an endpoint."""

from __future__ import annotations

from llamactl.command import LazyGroup

command = LazyGroup(
    "key",
    package="llamactl.commands.key",
    sections={
        "Commands": {
            "show": "Print the key, and say which Secret holds it.",
            "rotate": "Make a new key, and say what must restart.",
        }
    },
    examples=("llamactl key show my-llama", "llamactl key rotate my-llama --restart"),
    help="Show or rotate the API key of an endpoint.",
    context_settings={"help_option_names": ["-h", "--help"]},
)

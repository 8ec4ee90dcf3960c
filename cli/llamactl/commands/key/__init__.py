"""`llamactl key`: the API keys of an endpoint."""

from __future__ import annotations

from llamactl.command import LazyGroup

command = LazyGroup(
    "key",
    package="llamactl.commands.key",
    sections={
        "Commands": {
            "show": "Print a key, and say which Secret holds it.",
            "list": "List the keys by name, and until when they count.",
            "rotate": "Make a new key; the old one counts on for a while.",
            "add": "Make one more key, for a team or a client.",
            "revoke": "Take a key away.",
        }
    },
    examples=("llamactl key show my-llama", "llamactl key rotate my-llama --overlap 1h"),
    help="Show, rotate, add and revoke the API keys of an endpoint.",
    context_settings={"help_option_names": ["-h", "--help"]},
)

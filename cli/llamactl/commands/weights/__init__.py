"""`llamactl weights`: the copies of weights on volumes, a command each."""

from __future__ import annotations

from llamactl.command import LazyGroup

command = LazyGroup(
    "weights",
    package="llamactl.commands.weights",
    sections={
        "Commands": {
            "ls": "List the copies: state, bytes, speed, ETA, URL expiry, users.",
            "add": "Fetch a copy before anything serves it.",
            "verify": "Have every byte of a copy read again and compared.",
            "gc": "List the copies that nothing uses, and delete them after a yes.",
            "rotate-url": "Put the URL of a new e-mail of Meta in place of the old one.",
        }
    },
    aliases={"list": "ls"},
    examples=(
        "llamactl weights ls",
        "llamactl weights add 70b --size 200Gi",
        "llamactl weights gc --unused-for 7d",
    ),
    help="Keep copies of weights: one verified checkpoint on one volume each.",
    context_settings={"help_option_names": ["-h", "--help"]},
)

"""`llamactl rollout`: how a change reaches the servers, and the way back."""

from __future__ import annotations

from llamactl.command import LazyGroup

command = LazyGroup(
    "rollout",
    package="llamactl.commands.rollout",
    sections={
        "Commands": {
            "status": "Say how servers are replaced, how far that is, and why.",
            "history": "List the revisions that are kept.",
            "undo": "Go back to an earlier revision.",
        }
    },
    examples=(
        "llamactl rollout status my-llama --wait",
        "llamactl rollout history my-llama",
        "llamactl rollout undo my-llama",
    ),
    help="Follow a rollout, list revisions, and go back to one.",
    context_settings={"help_option_names": ["-h", "--help"]},
)

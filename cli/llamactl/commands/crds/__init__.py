"""`llamactl crds`: the CustomResourceDefinitions that this command was made with."""

from __future__ import annotations

from llamactl.command import LazyGroup

command = LazyGroup(
    "crds",
    package="llamactl.commands.crds",
    sections={"Commands": {"apply": "Install or upgrade them, by server-side apply."}},
    examples=("llamactl crds apply --dry-run=server", "llamactl crds apply"),
    help="Install or upgrade the kinds LlamaDeployment and LlamaWeights.",
    context_settings={"help_option_names": ["-h", "--help"]},
)

"""Names for the shell's completion, from the cluster; silent where there is none.

A completion that prints an error or blocks ruins the line that the user is typing.
"""

from __future__ import annotations

import click


def field_paths(
    ctx: click.Context,  # noqa: ARG001 - click passes it
    param: click.Parameter,  # noqa: ARG001
    incomplete: str,
) -> list[str]:
    """Fields of the spec that start with what was typed, ready for their value."""
    from llamactl import setpath

    return [f"{path}=" for path in setpath.paths() if path.startswith(incomplete)]


def deployment_names(
    ctx: click.Context,
    param: click.Parameter,  # noqa: ARG001 - click passes it
    incomplete: str,
) -> list[str]:
    """Names of LlamaDeployments that start with what was typed."""
    from llamactl.kube import Kube
    from llamactl.kubeconfig import connect
    from llamactl.resources import DEPLOYMENTS
    from llamactl.settings import Settings

    settings = ctx.ensure_object(Settings)
    try:
        found = Kube(connect(settings), settings).list(DEPLOYMENTS)
    except Exception:
        return []
    names = [str(item["metadata"]["name"]) for item in found]
    return [name for name in names if name.startswith(incomplete)]

"""Names for the shell's completion, from the cluster; silent where there is none.

A completion that prints an error or blocks ruins the line that the user is typing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from llamactl.resources import Resource


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
    from llamactl.resources import DEPLOYMENTS

    return _names(ctx, DEPLOYMENTS, incomplete)


def weights_names(
    ctx: click.Context,
    param: click.Parameter,  # noqa: ARG001
    incomplete: str,
) -> list[str]:
    """Names of LlamaWeights that start with what was typed."""
    from llamactl.resources import WEIGHTS

    return _names(ctx, WEIGHTS, incomplete)


def _names(ctx: click.Context, resource: Resource, incomplete: str) -> list[str]:
    from llamactl.kube import Kube
    from llamactl.kubeconfig import connect
    from llamactl.settings import Settings

    settings = ctx.ensure_object(Settings)
    try:
        found = Kube(connect(settings), settings).list(resource)
    except Exception:
        return []
    names = [str(item["metadata"]["name"]) for item in found]
    return [name for name in names if name.startswith(incomplete)]

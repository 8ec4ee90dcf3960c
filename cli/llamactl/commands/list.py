"""`llamactl list`: what is deployed, one line each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from llamactl import options, output
from llamactl.command import Command

if TYPE_CHECKING:
    from llamactl.kube import Kube


@click.command(
    cls=Command,
    examples=[
        "llamactl list",
        "llamactl list -A -o wide",
        "llamactl list -o name | xargs -n1 kubectl get",
    ],
)
@click.option("-A", "--all-namespaces", "everywhere", is_flag=True, help="Of all namespaces.")
@click.option("-l", "--selector", default="", metavar="LABELS", help="Only with these labels.")
@click.option("-w", "--watch", is_flag=True, help="Go on, and print a line for every change.")
@options.output("table", "wide", "json", "yaml", "name")
@options.cluster
def command(everywhere: bool, selector: str, watch: bool, fmt: str) -> None:
    """List the LlamaDeployments of a namespace.

    READY counts replicas that answer; REASON says what the others wait for.
    """
    from llamactl.kube import open_cluster
    from llamactl.resources import DEPLOYMENTS

    if watch and fmt in ("json", "yaml"):
        raise click.UsageError(f"--watch prints lines; use -o table, wide or name, not {fmt}")
    kube = open_cluster()
    found, version = kube.list_at(DEPLOYMENTS, selector=selector, everywhere=everywhere)
    if not found and fmt in ("table", "wide") and not watch:
        _nothing(kube.namespace, everywhere)
        return
    _show(found, fmt, everywhere)
    if watch:
        _follow(kube, found, fmt, version=version, selector=selector, everywhere=everywhere)


def _nothing(namespace: str, everywhere: bool) -> None:
    from llamactl.settings import current

    where = "any namespace" if everywhere else f"namespace {namespace!r}"
    output.talk(f"No deployments in {where}. Make one:")
    output.hint(current().llamactl("deploy", "8b"))


def _show(found: Sequence[dict[str, Any]], fmt: str, everywhere: bool) -> None:
    from llamactl import view
    from llamactl.list_view import table

    if fmt in ("json", "yaml"):
        output.document(output.object_list(found), fmt)
    elif fmt == "name":
        for obj in found:
            output.data(view.full_name(obj))
    else:
        output.data(table(found, output.width(), wide=fmt == "wide", everywhere=everywhere))


def _follow(
    kube: Kube,
    found: Sequence[dict[str, Any]],
    fmt: str,
    *,
    version: str,
    selector: str,
    everywhere: bool,
) -> None:
    from llamactl import view
    from llamactl.list_view import lines

    changes = lines(
        kube,
        found,
        version=version,
        selector=selector,
        wide=fmt == "wide",
        everywhere=everywhere,
    )
    for obj, line in changes:
        output.data(view.full_name(obj) if fmt == "name" else line)

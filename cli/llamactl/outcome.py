"""How a command that wrote something ends: its line, the wait, its document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from llamactl import output, readiness, view
from llamactl.kube import Kube, Object
from llamactl.resources import DEPLOYMENTS, Resource


def line(obj: Mapping[str, Any], verb: str, fmt: str, resource: Resource = DEPLOYMENTS) -> None:
    """ "kind.group/name verb", or only the name for -o name; nothing for a document."""
    name = view.full_name(obj, resource)
    if fmt == "name":
        output.data(name)
    elif fmt not in ("json", "yaml"):
        output.data(f"{name} {verb}")


def documents(found: Sequence[Object], fmt: str) -> None:
    """What was written, for -o json and yaml: one object as itself, several as a List."""
    if fmt in ("json", "yaml"):
        output.document(found[0] if len(found) == 1 else output.object_list(found), fmt)


def tell(kube: Kube, stored: Object, verb: str, fmt: str, *, dry: bool, wait: float | None) -> None:
    """The line at once; the document last, so that a script gets the object as it ended up."""
    line(stored, f"{verb} (server dry run)" if dry else verb, fmt)
    if wait is not None and not dry:
        stored = readiness.wait(kube, stored, wait) or stored
    if fmt in ("json", "yaml"):
        output.document(output.clean(stored), fmt)

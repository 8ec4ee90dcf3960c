"""The table of `llamactl list`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from llamactl import output, view
from llamactl.table import Column, render
from llamactl.units import age

Object = Mapping[str, Any]

COLUMNS = (
    Column("NAME"),
    Column("READY"),
    Column("MODEL", optional=True),
    Column("GPUS", right=True, optional=True),
    Column("REASON", optional=True),
    Column("AGE", right=True),
)
WIDE = (
    Column("TP", right=True, optional=True),
    Column("CONTEXT", right=True, optional=True),
    Column("ENDPOINT", optional=True),
    Column("EXTERNAL", optional=True),
)


def table(found: Sequence[Object], width: int, *, wide: bool, everywhere: bool) -> str:
    """The objects as a table; `wide` is never narrowed, it is for wide terminals and pipes."""
    columns = [*([Column("NAMESPACE")] if everywhere else []), *COLUMNS, *(WIDE if wide else ())]
    rows = [_row(obj, wide, everywhere) for obj in found]
    return render(columns, rows, 10_000 if wide else width)


def _row(obj: Object, wide: bool, everywhere: bool) -> list[str]:
    row = [str(view.path(obj, "metadata", "namespace") or "")] if everywhere else []
    row += [
        view.name_of(obj),
        ready(obj),
        str(view.path(obj, "spec", "model") or ""),
        _number(obj, "status", "plan", "gpus"),
        reason(obj),
        age(str(view.path(obj, "metadata", "creationTimestamp") or "")),
    ]
    if wide:
        row += [
            _number(obj, "status", "plan", "tensorParallel"),
            _number(obj, "status", "plan", "maxModelLen"),
            str(view.path(obj, "status", "endpoint", "url") or "-"),
            str(view.path(obj, "status", "endpoint", "externalURL") or "-"),
        ]
    return row


def _number(obj: Object, *keys: str) -> str:
    value = view.path(obj, *keys)
    return "-" if value is None else str(value)


def ready(obj: Object) -> str:
    """Replicas that answer out of those wanted, such as 1/2."""
    wanted = view.path(obj, "spec", "replicas")
    have = view.path(obj, "status", "readyReplicas") or 0
    text = f"{have}/{1 if wanted is None else wanted}"
    return output.good(text) if view.is_true(obj, "Ready") else output.waiting(text)


def reason(obj: Object) -> str:
    """Why it is, or is not, ready: the reason of Ready, or Deleting."""
    if obj.get("deleted"):
        return "Deleted"
    if view.path(obj, "metadata", "deletionTimestamp"):
        return "Deleting"
    return str(view.condition(obj, "Ready").get("reason") or "NotLookedAtYet")

"""The table of `llamactl list`, and its lines as objects change."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from llamactl import output, view
from llamactl.errors import CliError
from llamactl.kube import Kube
from llamactl.resources import DEPLOYMENTS
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


def lines(
    kube: Kube,
    found: Sequence[Object],
    *,
    version: str,
    selector: str,
    wide: bool,
    everywhere: bool,
) -> Iterator[tuple[Object, str]]:
    """Each changed object with its line, aligned with the table of all; ends never."""
    known = {_key(obj): obj for obj in found}
    while True:
        events = kube.watch(DEPLOYMENTS, version=version, selector=selector, everywhere=everywhere)
        for kind, obj in events:
            if kind == "ERROR":
                raise CliError(f"the watch ended: {obj.get('message', kind)}", fix="Start it again")
            version = str(view.path(obj, "metadata", "resourceVersion") or version)
            known[_key(obj)] = {**obj, "deleted": kind == "DELETED"}
            yield obj, _line(known, obj, wide, everywhere)
            if kind == "DELETED":
                known.pop(_key(obj))


def _key(obj: Object) -> tuple[str, str]:
    return str(view.path(obj, "metadata", "namespace") or ""), view.name_of(obj)


def _line(known: dict[tuple[str, str], Object], obj: Object, wide: bool, everywhere: bool) -> str:
    text = table(list(known.values()), output.width(), wide=wide, everywhere=everywhere)
    return text.split("\n")[1 + list(known).index(_key(obj))]

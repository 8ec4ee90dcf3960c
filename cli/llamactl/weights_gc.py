"""Copies that nothing uses: found by what the operator wrote down, shown, deleted after a yes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from llamactl import confirm, outcome, output, view
from llamactl.kube import Kube
from llamactl.resources import WEIGHTS
from llamactl.table import Column, render
from llamactl.units import age, bytes_text, duration, parse_time

Object = Mapping[str, Any]

COLUMNS = (
    Column("NAME"),
    Column("UNUSED", right=True),
    Column("SIZE", right=True),
    Column("MODEL", optional=True),
    Column("VOLUME", optional=True),
)


@dataclass(frozen=True)
class Collecting:
    """One run of the command; `dry_run` is none, client (list only) or server (have it judged)."""

    kube: Kube
    dry_run: str
    fmt: str
    yes: bool
    everywhere: bool = False

    def run(self, seconds: float) -> None:
        """List, ask, delete, and give what was deleted."""
        found = self._find(seconds)
        if not found:
            where = "any namespace" if self.everywhere else f"namespace {self.kube.namespace!r}"
            output.talk(f"Nothing to delete in {where}.")
            self._document([])
            return
        self._show(found)
        if self.dry_run == "none" and not self.yes:
            confirm.ask(f"Delete {_count(found)}?")
        gone: list[Object] = []
        try:
            for obj in found:
                self._delete(obj)
                gone.append(obj)
        finally:
            # Also of a run that broke off: what is gone is gone.
            self._document(gone)

    def _find(self, seconds: float) -> list[Object]:
        copies = self.kube.list(WEIGHTS, everywhere=self.everywhere)
        idle = [obj for obj in copies if unused_seconds(obj) is not None]
        found: list[Object] = [obj for obj in idle if (unused_seconds(obj) or 0) >= seconds]
        if len(found) < len(idle):
            more = len(idle) - len(found)
            output.talk(
                f"{more} more {'is' if more == 1 else 'are'} unused for less than "
                f"{duration(seconds)} (--unused-for)."
            )
        return found

    def _show(self, found: Sequence[Object]) -> None:
        rows = [[*self._place(obj), *_row(obj)] for obj in found]
        columns = [*([Column("NAMESPACE")] if self.everywhere else []), *COLUMNS]
        if self.fmt in ("table", "wide"):
            output.data(render(columns, rows, 10_000 if self.fmt == "wide" else output.width()))
        elif self.dry_run == "none" and not self.yes:
            # Nobody can say yes to what is not shown, and stdout is for the answer.
            output.talk(render(columns, rows, output.width()))

    def _place(self, obj: Object) -> list[str]:
        return [_namespace(obj)] if self.everywhere else []

    def _delete(self, obj: Object) -> None:
        if self.dry_run != "client":
            # Another object of that name, made meanwhile, is not what was shown.
            uid = str(view.path(obj, "metadata", "uid") or "")
            dry = self.dry_run == "server"
            kube = self.kube.within(_namespace(obj) or self.kube.namespace)
            kube.delete(WEIGHTS, view.name_of(obj), uid=uid, foreground=False, dry=dry)
        if self.fmt == "name" or self.dry_run != "client":
            outcome.line(obj, _VERBS[self.dry_run], self.fmt, WEIGHTS)

    def _document(self, found: Sequence[Object]) -> None:
        if self.fmt in ("json", "yaml"):
            output.document(output.object_list(found), self.fmt)


_VERBS = {"none": "is being deleted", "server": "deleted (server dry run)", "client": ""}


def unused_seconds(obj: Object, now: datetime | None = None) -> float | None:
    """For how long nothing used a copy; None where something does, or nobody looked yet."""
    since = parse_time(str(view.path(obj, "status", "unusedSince") or ""))
    used = view.path(obj, "status", "usedByCount") or view.path(obj, "status", "usedBy")
    if since is None or used or view.path(obj, "metadata", "deletionTimestamp"):
        return None
    return max(0.0, ((now or datetime.now(UTC)) - since).total_seconds())


def volume(obj: Object) -> str:
    """What becomes of the volume: one of our making goes, one that the user named stays."""
    claim = str(view.path(obj, "status", "claimName") or "")
    if not claim:
        return "-"
    named = view.path(obj, "spec", "storage", "claimName") or view.path(
        obj, "spec", "source", "claim", "name"
    )
    return f"claim {claim} {'stays, with its files' if claim == named else 'goes'}"


def _namespace(obj: Object) -> str:
    return str(view.path(obj, "metadata", "namespace") or "")


def _row(obj: Object) -> list[str]:
    size = view.path(obj, "status", "bytes")
    return [
        view.name_of(obj),
        age(str(view.path(obj, "status", "unusedSince") or "")),
        bytes_text(size) if size else "-",
        str(view.path(obj, "spec", "model") or ""),
        volume(obj),
    ]


def _count(found: Sequence[Object]) -> str:
    size = sum(int(view.path(obj, "status", "bytes") or 0) for obj in found)
    copies = "1 copy" if len(found) == 1 else f"{len(found)} copies"
    return f"{copies} ({bytes_text(size)})"

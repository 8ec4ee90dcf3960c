"""The table of `llamactl weights ls`, and how far a copy has come. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from llamactl import output, view
from llamactl.stages import LASTING, Stage, fetching, lasting_failure
from llamactl.table import Column, render
from llamactl.units import age, bytes_text, duration, parse_time

Object = Mapping[str, Any]

COLUMNS = (
    Column("NAME"),
    Column("STATE"),
    Column("SIZE", right=True),
    Column("SPEED", right=True, optional=True),
    Column("ETA", right=True, optional=True),
    Column("URL", right=True, optional=True),
    Column("USERS", right=True, optional=True),
    Column("AGE", right=True, optional=True),
)
WIDE = (
    Column("MODEL"),
    Column("SOURCE"),
    Column("CLAIM"),
    Column("VERIFIED", right=True),
    Column("USED BY"),
)


def table(found: Sequence[Object], width: int, *, wide: bool, everywhere: bool) -> str:
    """The copies as a table; `wide` is never narrowed, it is for wide terminals and pipes."""
    columns = [*([Column("NAMESPACE")] if everywhere else []), *COLUMNS, *(WIDE if wide else ())]
    return render(
        columns, [_row(obj, wide, everywhere) for obj in found], 10_000 if wide else width
    )


def _row(obj: Object, wide: bool, everywhere: bool) -> list[str]:
    row = [str(view.path(obj, "metadata", "namespace") or "")] if everywhere else []
    row += [
        view.name_of(obj),
        state(obj),
        _size(obj),
        _speed(obj),
        _eta(obj),
        until(str(view.path(obj, "status", "urlExpiresAt") or "")),
        str(view.path(obj, "status", "usedByCount") or 0),
        age(str(view.path(obj, "metadata", "creationTimestamp") or "")),
    ]
    return row + (_wide(obj) if wide else [])


def _wide(obj: Object) -> list[str]:
    verified = str(view.path(obj, "status", "lastVerifiedAt") or "")
    return [
        str(view.path(obj, "spec", "model") or ""),
        source(obj),
        str(view.path(obj, "status", "claimName") or "-"),
        age(verified) if verified else "-",
        ",".join(view.path(obj, "status", "usedBy") or []) or "-",
    ]


def state(obj: Object) -> str:
    """Ready, how much is fetched, or the reason why not, in its colour."""
    if obj.get("deleted"):
        return "Deleted"
    if view.path(obj, "metadata", "deletionTimestamp"):
        return "Deleting"
    ready = view.condition(obj, "Ready")
    if ready.get("status") == "True":
        return output.good("Ready")
    done, total = _bytes(obj)
    reason = str(ready.get("reason") or "NotLookedAtYet")
    if total and not lasting_failure(obj):
        phase = view.path(obj, "status", "progress", "phase") or reason
        return output.waiting(f"{phase} {100 * done // total}%")
    return output.bad(reason) if lasting_failure(obj) else output.waiting(reason)


def stages(obj: Object) -> list[Stage]:
    """Access, volume, files, in the order in which they come true."""
    return [_stage(obj, kind, name) for kind, name in _STAGES.items()]


_STAGES = {"Accessible": "Access", "VolumeReady": "Volume", "Downloaded": "Files", "Ready": "Ready"}


def _stage(obj: Object, kind: str, name: str) -> Stage:
    found = view.condition(obj, kind)
    if found.get("status") == "True":
        return Stage(name, "done", _size(obj) if kind == "Ready" else "")
    progress = view.path(obj, "status", "progress")
    if kind == "Downloaded" and isinstance(progress, Mapping) and progress.get("bytesTotal"):
        return fetching(progress, name)
    if not found or found.get("reason") == "Pending":
        return Stage(name, "todo")
    bad = found.get("status") == "False" and found.get("reason") in LASTING.get(kind, ())
    return Stage(name, "failed" if bad else "doing", str(found.get("message") or ""))


def source(obj: Object) -> str:
    """Where the files come from, in a word or two; no address holds a credential."""
    given = view.path(obj, "spec", "source") or {}
    if "claim" in given:
        return f"claim {given['claim'].get('name')}/{given['claim'].get('path') or ''}".rstrip("/")
    if "meta" in given:
        return "Meta"
    repo = (given.get("huggingFace") or {}).get("repo")
    return f"Hugging Face {repo}" if repo else "Hugging Face"


def until(timestamp: str, now: datetime | None = None) -> str:
    """ "5h12m" until a moment, "expired" after it, "-" where there is none."""
    then = parse_time(timestamp)
    if then is None:
        return "-"
    left = (then - (now or datetime.now(UTC))).total_seconds()
    return duration(left) if left > 0 else output.bad("expired")


def _bytes(obj: Object) -> tuple[int, int]:
    progress = view.path(obj, "status", "progress") or {}
    return int(progress.get("bytesDone") or 0), int(progress.get("bytesTotal") or 0)


def _size(obj: Object) -> str:
    done, total = _bytes(obj)
    size = view.path(obj, "status", "bytes")
    if total and not view.is_true(obj, "Ready"):
        return f"{bytes_text(done)}/{bytes_text(total)}"
    return bytes_text(size) if size else "-"


def _speed(obj: Object) -> str:
    speed = _running_speed(obj)
    return f"{bytes_text(speed)}/s" if speed else "-"


def _eta(obj: Object) -> str:
    speed = _running_speed(obj)
    done, total = _bytes(obj)
    return duration((total - done) / speed) if speed else "-"


def _running_speed(obj: Object) -> int:
    if view.is_true(obj, "Ready"):
        return 0
    return int(view.path(obj, "status", "progress", "bytesPerSecond") or 0)

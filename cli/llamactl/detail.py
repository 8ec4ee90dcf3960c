"""What `status` and `doctor` both show of a deployment: plan against reality, cold start, events. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click

from llama_operator.diagnose.events import last_seen
from llama_operator.diagnose.words import clip
from llamactl import view
from llamactl.reality import compare
from llamactl.table import Column, render
from llamactl.units import age, duration

Object = Mapping[str, Any]

EVENTS_SHOWN = 5
MESSAGE_LIMIT = 300
BAR_CELLS = 24
PLAN = (Column("PLAN"), Column("PLANNED", right=True), Column("FOUND", right=True), Column("NOTE"))
EVENTS = (
    Column("LAST", right=True),
    Column("REASON"),
    Column("OBJECT", wrap=True, least=12),
    Column("MESSAGE", wrap=True, least=20),
)
ADAPTERS = (
    Column("ADAPTER"),
    Column("LOADED", right=True),
    Column("DIGEST", optional=True),
    Column("MESSAGE", wrap=True, least=20),
)
START = (Column("COLD START"), Column("TOOK", right=True), Column(""))
# In the order in which they follow each other.
PHASES = {
    "scheduledSeconds": "scheduling",
    "imageSeconds": "volumes, image",
    "loadSeconds": "loading weights",
    "compileSeconds": "compiling",
    "graphsSeconds": "capturing graphs",
}


def plan_table(deployment: Object, width: int) -> str:
    """What was planned beside what the servers found; "" before one has told."""
    rows = compare(deployment)
    cells = [[row.what, _figure(row.planned), _figure(row.found), row.note] for row in rows]
    return render(PLAN, cells, width) if any(row.found is not None for row in rows) else ""


def _figure(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int) else str(value)


def adapters(deployment: Object, width: int) -> str:
    """LoRA adapters, and in how many of the replicas that answer each is loaded; "" for none."""
    found = view.path(deployment, "status", "adapters") or ()
    replicas = view.path(deployment, "status", "readyReplicas") or 0
    rows = [
        [
            str(each.get("name", "")),
            f"{each.get('readyReplicas', 0)}/{replicas}",
            str(each.get("digest") or "-")[:19],
            str(each.get("message") or ""),
        ]
        for each in found
    ]
    return render(ADAPTERS, rows, width) if rows else ""


def cold_start(deployment: Object, width: int) -> str:
    """How the last start that was read went, as a timeline; "" where none was."""
    told = view.path(deployment, "status", "coldStart") or {}
    seconds = {name: int(told[key]) for key, name in PHASES.items() if key in told}
    if not seconds:
        return ""
    rows = [
        [name, duration(each), bar]
        for (name, each), bar in zip(seconds.items(), _bars([*seconds.values()]), strict=True)
    ]
    title = click.style(f"Last start: {told.get('pod', '?')}", bold=True)
    return f"{title}\n{render(START, rows, width)}"


def _bars(seconds: Sequence[int]) -> list[str]:
    """A bar for each phase, beginning where the one before ends."""
    total = sum(seconds) or 1
    ends = [round(BAR_CELLS * sum(seconds[: n + 1]) / total) for n in range(len(seconds))]
    return [" " * start + "█" * (end - start) for start, end in zip([0, *ends], ends, strict=False)]


def newest(events: Sequence[Object]) -> list[dict[str, str]]:
    """The last of the events, in short."""
    found = sorted(events, key=lambda each: last_seen(dict(each)), reverse=True)[:EVENTS_SHOWN]
    return [_event(each) for each in found]


def _event(event: Object) -> dict[str, str]:
    about = event.get("involvedObject") or {}
    return {
        "lastSeen": last_seen(dict(event)),
        "reason": str(event.get("reason", "")),
        "object": f"{about.get('kind', '')} {about.get('name', '')}",
        "message": clip(str(event.get("message") or ""), MESSAGE_LIMIT),
    }


def events_table(events: Sequence[Object], width: int) -> str:
    """The last events; "" where there are none."""
    rows = [[age(e["lastSeen"]), e["reason"], e["object"], e["message"]] for e in newest(events)]
    return render(EVENTS, rows, width) if rows else ""

"""What `llamactl doctor NAME` says: the page for people, the document for scripts. Pure."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

import click

from llama_operator.diagnose.words import clip, in_words, still
from llamactl import detail, output, view
from llamactl.checkup import Checkup
from llamactl.findings import HEALTHY, HEALTHY_TEXT, Finding
from llamactl.reality import compare
from llamactl.stages import Snapshot, is_ready, stages
from llamactl.table import pairs


def document(seen: Checkup, found: Sequence[Finding]) -> dict[str, Any]:
    """The first cause in the four fields of `doctor --log`, then everything else."""
    first = found[0] if found else Finding(HEALTHY, "", HEALTHY_TEXT)
    return {
        **_fields(first),
        "healthy": not found,
        "ready": view.is_true(seen.deployment, "Ready"),
        "findings": [{"object": each.about, **_fields(each)} for each in found],
        "plan": [vars(row) for row in compare(seen.deployment)],
        "events": detail.newest(seen.events),
        "unread": list(seen.unread),
    }


def _fields(finding: Finding) -> dict[str, Any]:
    return {
        "cause": finding.cause,
        "evidence": finding.evidence,
        "explanation": finding.explanation,
        "fix": dict(finding.fix),
    }


def page(seen: Checkup, found: Sequence[Finding], width: int) -> str:
    """The verdict, each finding, the plan against reality, warnings, and what was not read."""
    sections = [
        _verdict(seen, found),
        *(pairs(_rows(each), width) for each in found),
        detail.plan_table(seen.deployment, width),
        detail.events_table(seen.events, width) if found or not _ready(seen) else "",
        unread_section(seen.unread, width),
    ]
    return "\n\n".join(section for section in sections if section)


def _ready(seen: Checkup) -> bool:
    return is_ready(Snapshot(seen.deployment, seen.weights, seen.pods))


def _verdict(seen: Checkup, found: Sequence[Finding]) -> str:
    name = view.name_of(seen.deployment)
    if found:
        more = f", and {len(found) - 1} more" if len(found) > 1 else ""
        return f"{name}: {output.bad(found[0].cause)}{more}"
    if _ready(seen):
        return f"{name}: {output.good(HEALTHY)}. {HEALTHY_TEXT}."
    return f"{name}: {output.waiting('not ready yet')}. {HEALTHY_TEXT}.{_doing(seen)}"


def _doing(seen: Checkup) -> str:
    steps = stages(Snapshot(seen.deployment, seen.weights, seen.pods))
    step = next((each for each in steps if each.state == "doing"), None)
    return f" It is at {step.name}: {step.text}" if step else ""


def _rows(finding: Finding) -> list[tuple[str, str]]:
    line = clip(still(finding.evidence), detail.MESSAGE_LIMIT)
    rows = [
        ("Cause", output.bad(finding.cause)),
        ("Object", finding.about),
        ("Meaning", finding.explanation),
        ("Evidence", "" if line in finding.explanation else line),
        ("Patch", in_words(finding.fix)),
    ]
    return [row for row in rows if row[1]]


def unread_section(notes: Sequence[str], width: int) -> str:
    """What could not be read and the rules to ask for; "" where all was."""
    if not notes:
        return ""
    title = click.style("Not read, so more may be wrong", bold=True)
    lines = [
        textwrap.fill(note, width, initial_indent="- ", subsequent_indent="  ") for note in notes
    ]
    return "\n".join([title, *lines])

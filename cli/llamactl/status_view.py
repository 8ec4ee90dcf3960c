"""The page of `llamactl status`: what is wanted, what is there, what to do next. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click

from llamactl import detail, view
from llamactl.doctor_page import unread_section
from llamactl.list_view import ready
from llamactl.membar import memory_bar
from llamactl.settings import Settings
from llamactl.stages import Snapshot, stages
from llamactl.table import Column, pairs, render
from llamactl.units import age, bytes_text

Object = Mapping[str, Any]

CONDITIONS = (
    Column("CONDITION"),
    Column("STATUS"),
    Column("REASON"),
    Column("FOR", right=True, optional=True),
    Column("MESSAGE", wrap=True, least=12),
)
PODS = (
    Column("POD"),
    Column("STATE", wrap=True, least=10),
    Column("RESTARTS", right=True, optional=True),
    Column("NODE", optional=True),
    Column("AGE", right=True, optional=True),
)


def text(
    seen: Snapshot,
    settings: Settings,
    width: int,
    warnings: Sequence[Object] = (),
    unread: Sequence[str] = (),
) -> str:
    """All sections that have something to say, with an empty line between."""
    sections = [
        pairs(_head(seen.deployment), width),
        _conditions("", seen.deployment, width),
        _section("Plan", _plan(seen.deployment), width),
        _found(seen.deployment, width),
        _section("Weights", _weights(seen), width),
        _weights_conditions(seen, width),
        _pods(seen, width),
        detail.cold_start(seen.deployment, width),
        detail.events_table(warnings, width),
        _section("Endpoint", _endpoint(seen.deployment), width),
        _section("Autoscaling", _autoscaling(seen.deployment), width),
        detail.adapters(seen.deployment, width),
        _next(seen, settings),
        unread_section(unread, width),
    ]
    return "\n\n".join(section for section in sections if section)


def _section(title: str, rows: list[tuple[str, str]], width: int) -> str:
    return f"{click.style(title, bold=True)}\n{pairs(rows, width)}" if rows else ""


def _head(obj: Object) -> list[tuple[str, str]]:
    return [
        ("Name", view.name_of(obj)),
        ("Namespace", str(view.path(obj, "metadata", "namespace") or "")),
        ("Model", str(view.path(obj, "spec", "model") or "")),
        ("Ready", ready(obj)),
        ("Age", age(str(view.path(obj, "metadata", "creationTimestamp") or ""))),
    ]


def _conditions(title: str, obj: Object, width: int) -> str:
    found = view.conditions(obj)
    if not found:
        return "" if title else "No conditions yet: no operator has looked at it."
    rows = [
        [
            str(c.get("type", "")),
            view.coloured_status(c),
            str(c.get("reason", "")),
            age(str(c.get("lastTransitionTime") or "")),
            str(c.get("message", "")),
        ]
        for c in found
    ]
    table = render(CONDITIONS, rows, width)
    return f"{click.style(title, bold=True)}\n{table}" if title else table


def _plan(obj: Object) -> list[tuple[str, str]]:
    plan = view.path(obj, "status", "plan")
    if not plan:
        return []
    product = f" x {plan['gpuProduct']}" if plan.get("gpuProduct") else ""
    rows = [
        ("GPUs", f"{plan.get('gpus', '?')}{product}"),
        (
            "Parallel",
            f"tensor {plan.get('tensorParallel')}, pipeline {plan.get('pipelineParallel')}",
        ),
        ("Type", _type(plan)),
        ("Context", f"{plan.get('maxModelLen', 0):,} tokens, {plan.get('maxNumSeqs')} at once"),
        ("KV cache", f"{plan.get('kvTokens', 0):,} tokens"),
    ]
    if plan.get("perGpu"):
        rows.append(("Memory", memory_bar(plan["perGpu"])))
    return [*rows, ("Why", str(plan.get("reason") or ""))]


def _found(obj: Object, width: int) -> str:
    return detail.plan_table(obj, width) if view.path(obj, "status", "observed") else ""


def _autoscaling(obj: Object) -> list[tuple[str, str]]:
    found = view.path(obj, "status", "autoscaling")
    if not found:
        return []
    wanted = view.path(obj, "spec", "autoscaling", "targets") or ()
    targets = ", ".join(f"{each['metric']} {each['value']}" for each in wanted)
    least, most = found.get("minReplicas", "?"), found.get("maxReplicas", "?")
    rows = [
        ("Replicas", f"{least} to {most}, now {view.path(obj, 'spec', 'replicas')}"),
        ("By", _scaler(str(found.get("scaler")), targets)),
        ("Idle", str(view.path(obj, "spec", "autoscaling", "idleAfter")) if least == 0 else ""),
        ("Note", str(found.get("message") or "")),
    ]
    return [(name, value) for name, value in rows if value]


def _scaler(name: str, targets: str) -> str:
    return "" if name == "None" else f"{name}: {targets}"


def _type(plan: Object) -> str:
    method = plan.get("quantization") or "none"
    return f"{plan.get('dtype', '?')}" + ("" if method == "none" else f", {method}")


def _weights(seen: Snapshot) -> list[tuple[str, str]]:
    name = view.path(seen.deployment, "status", "weights", "name")
    if not name:
        return []
    rows = [("Name", str(name))]
    status = (seen.weights or {}).get("status") or {}
    if status.get("bytes"):
        rows.append(("Size", bytes_text(status["bytes"])))
    if status.get("claimName"):
        rows.append(("Volume", f"{status['claimName']}/{status.get('path') or ''}".rstrip("/")))
    stage = stages(seen)[1]
    if stage.state == "doing":
        rows.append(("Progress", stage.text))
    return rows


def _weights_conditions(seen: Snapshot, width: int) -> str:
    if seen.weights is None or view.is_true(seen.weights, "Ready"):
        return ""
    return _conditions("Conditions of the weights", seen.weights, width)


def _pods(seen: Snapshot, width: int) -> str:
    if not seen.pods:
        return ""
    rows = []
    for pod in seen.pods:
        word, why = view.pod_state(pod)
        rows.append(
            [
                view.name_of(pod),
                f"{word}: {why}" if why else word,
                str(view.restarts(pod)),
                str(view.path(pod, "spec", "nodeName") or "-"),
                age(str(view.path(pod, "metadata", "creationTimestamp") or "")),
            ]
        )
    return render(PODS, rows, width)


def _endpoint(obj: Object) -> list[tuple[str, str]]:
    endpoint = view.path(obj, "status", "endpoint") or {}
    rows = (
        ("URL", endpoint.get("url")),
        ("By KServe", endpoint.get("externalURL")),
        ("Model", endpoint.get("servedModelName")),
        ("API key", endpoint.get("secretName") and f"in Secret {endpoint['secretName']}"),
    )
    return [(label, str(value)) for label, value in rows if value]


def _next(seen: Snapshot, settings: Settings) -> str:
    name = view.name_of(seen.deployment)
    if view.is_true(seen.deployment, "Ready") and any(map(view.pod_ready, seen.pods)):
        return f"Ask it:\n  {settings.llamactl('chat', name)}"
    return ""

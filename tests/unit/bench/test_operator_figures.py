"""What the operator's bench makes of an audit log."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.bench.audit import AuditLog, Request
from tests.bench.operator_figures import (
    Bare,
    Converged,
    Figures,
    Memory,
    delays,
    percentile,
    spread,
)

OPERATOR = "system:serviceaccount:llama-system:llama-operator"
BUDGET = {
    "timesBareLoop": 1.5,
    "cpuMsPerChild": 1.2,
    "cpuTimesBareWrite": 3,
    "perDeployment": {"children": 2, "statuses": 1},
    "bytesPerObject": 1000,
    "editP99Ms": 100,
}


def asked(came: float, resource: str, name: str = "llama-000001", **change: Any) -> Request:
    values: dict[str, Any] = {
        "answered": came + 0.01,
        "user": OPERATOR,
        "verb": "patch",
        "code": 200,
    }
    return Request(
        came=came, resource=resource, namespace="herd", name=name, **{**values, **change}
    )


def born(came: float, name: str = "llama-000001") -> Request:
    return asked(came, "llamadeployments", name, user="admin", verb="create", code=201)


CHILDREN = [
    asked(1.1, "controllerrevisions", "llama-000001-0123456789"),
    asked(1.2, "deployments"),
    asked(1.3, "llamadeployments/status"),
    asked(2.1, "controllerrevisions", "llama-000002-0123456789"),
    asked(2.4, "deployments", "llama-000002"),
    asked(2.5, "llamadeployments/status", "llama-000002"),
]
HERD = [born(1.0), born(2.0, "llama-000002")]


def figures(**change: Any) -> Figures:
    values: dict[str, Any] = {
        "count": 2,
        "converged": Converged.of(HERD, CHILDREN, cpu=0.004),
        "at_rest": [],
        "restarted": [],
        "memory": Memory(made=90 << 20, peak=90 << 20, restarted=90 << 20, objects=20_000),
        "edits": [10.0],
    }
    return Figures(**{**values, **change})


def missed(found: Figures, bare: float = 1.0) -> list[str]:
    loops = [Bare(bare, 0.5), Bare(bare, 0.5)]
    return [each.what for each in found.verdicts(loops, BUDGET) if not each.shown()]


def test_the_last_child_is_counted_from_the_first_deployment() -> None:
    found = Converged.of(HERD, CHILDREN, cpu=0.004)
    assert found.seconds == pytest.approx(1.41)
    assert sorted(found.milliseconds) == pytest.approx([210, 410])
    assert (found.children, found.statuses, found.others) == (4, 2, 0)
    assert spread([*HERD, *CHILDREN], since=0) == pytest.approx(1.41)


def test_a_write_that_was_refused_is_none() -> None:
    refused = [*CHILDREN, asked(3.0, "deployments", code=409)]
    assert Converged.of(HERD, refused, cpu=0.004) == Converged.of(HERD, CHILDREN, cpu=0.004)


def test_what_is_within_its_budget_passes() -> None:
    assert missed(figures()) == []


@pytest.mark.parametrize(
    ("found", "which"),
    [
        (figures(at_rest=[asked(9.0, "secrets", verb="get")]), "requests at rest"),
        (figures(restarted=[asked(9.0, "deployments")]), "writes after a restart"),
        (figures(edits=[*[10.0] * 9, 101.0]), "edit -> child p99"),
        (figures(converged=Converged.of(HERD, CHILDREN, 0.1)), "CPU per child written"),
        (figures(count=1), "children per deployment"),
        (
            figures(memory=Memory(180 << 20, 0, 0, 20_000)),
            "bytes per cached object over 80 MiB",
        ),
    ],
)
def test_what_is_over_its_budget_is_missed(found: Figures, which: str) -> None:
    assert which in missed(found)


def test_an_operator_alone_is_judged_by_what_it_is() -> None:
    assert [each.what for each in figures().verdicts([], BUDGET) if "bare" in each.what] == []


def test_a_slow_operator_is_missed() -> None:
    assert missed(figures(), bare=0.5) == ["operator / bare loop, last child"]


def test_an_edit_is_followed_by_the_first_write_after_it() -> None:
    edits = [asked(5.0, "llamadeployments", user="admin"), asked(5.02, "networkpolicies")]
    assert delays([*CHILDREN, *edits], OPERATOR) == pytest.approx([30])
    with pytest.raises(AssertionError, match="not followed"):
        delays(edits[:1], OPERATOR)


def test_percentiles_are_values_that_were_seen() -> None:
    assert percentile([3.0, 1.0, 2.0], 50) == 2.0
    assert percentile([float(n) for n in range(1, 101)], 99) == 99.0
    assert percentile([7.0], 99) == 7.0


def test_the_log_is_read_once_and_only_whole_lines(tmp_path: Path) -> None:
    event = {
        "stage": "ResponseComplete",
        "verb": "patch",
        "user": {"username": OPERATOR},
        "objectRef": {
            "resource": "llamadeployments", "subresource": "status", "namespace": "herd",
            "name": "llama-000001",
        },
        "responseStatus": {"code": 200},
        "requestReceivedTimestamp": "2026-01-01T00:00:00.250000Z",
        "stageTimestamp": "2026-01-01T00:00:00.260000Z",
    }  # fmt: skip
    watch = {**event, "verb": "watch"}
    path = tmp_path / "audit.log"
    lines = [json.dumps(event), json.dumps(watch), json.dumps(event)]
    path.write_text("\n".join(lines))
    log = AuditLog(path)
    (request,) = log.read()
    assert (request.resource, request.made, request.lease) == (
        "llamadeployments/status",
        True,
        False,
    )
    assert request.answered - request.came == pytest.approx(0.01, abs=1e-6)
    with path.open("a") as file:
        file.write("\n")
    assert len(log.read()) == 1
    assert log.read() == []

"""`Degraded` of a server in a crash loop: the cause by its log, in words that stay."""

from __future__ import annotations

from typing import Any

from tests.support.builders import deployment
from tests.unit.diagnose.test_pods import CONTEXT, crashed
from tests.unit.reconcile.test_status import (
    NOW,
    THEN,
    built,
    of_this_template,
    running,
    snapshot,
)

Object = dict[str, Any]


def degraded(raw: Object, free: float, fits: int) -> Object:
    made = running(raw, ready=0)
    trouble = of_this_template(made, crashed("a"))
    log = CONTEXT.format(free=free, fits=fits)
    view = snapshot(raw, made, pods=(trouble,), logs={"a": log})
    found: Object = built(view)
    return found


def condition(status: Object, kind: str) -> Object:
    found: Object = next(each for each in status["conditions"] if each["type"] == kind)
    return found


def test_the_cause_of_the_log_is_the_reason_and_ready_says_so_too() -> None:
    status = degraded(deployment(), 0.5, 4096)
    assert condition(status, "Degraded")["reason"] == "InsufficientMemoryForContext"
    assert condition(status, "Degraded")["status"] == "True"
    ready = condition(status, "Ready")
    assert (ready["status"], ready["reason"]) == ("False", "InsufficientMemoryForContext")
    assert "spec.sizing.maxModelLen: 4096" in ready["message"]
    assert "spec.sizing.maxModelLen: 4096" in condition(status, "Available")["message"]


def test_the_next_crash_with_other_free_memory_writes_nothing() -> None:
    first = degraded(deployment(), 0.5, 4096)
    assert degraded(deployment(status=first), 0.4375, 4080) == first


def test_after_a_change_of_the_spec_its_numbers_are_news() -> None:
    first = degraded(deployment(), 0.5, 4096)
    changed = deployment(status=first)
    changed["metadata"]["generation"] = 2
    second = degraded(changed, 0.25, 2048)
    assert "spec.sizing.maxModelLen: 2048" in condition(second, "Degraded")["message"]


def test_the_words_of_another_cause_are_news() -> None:
    old: Object = {"type": "Degraded", "status": "True", "reason": "NCCLFailed", "message": "x"}
    old |= {"observedGeneration": 1, "lastTransitionTime": THEN}
    status = degraded(deployment(status={"conditions": [old]}), 0.5, 4096)
    found = condition(status, "Degraded")
    assert found["reason"] == "InsufficientMemoryForContext"
    assert found["lastTransitionTime"] == THEN != NOW, "it was degraded before"

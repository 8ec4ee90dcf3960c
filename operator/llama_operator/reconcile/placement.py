"""Which nodes a pod may run on, by what its template and the nodes say: pure.

The scheduler decides; this foresees it, so that a rollout is not begun that could never end. Left
out is what depends on where other pods land: spreading, and the user's rules about neighbours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any

Object = dict[str, Any]
_KEEPS_AWAY = ("NoSchedule", "NoExecute")


def eligible(nodes: Iterable[Object], pod: Object) -> list[Object]:
    """The nodes that would take a pod with this spec, were they empty."""
    return [node for node in nodes if _takes(node, pod)]


def _takes(node: Object, pod: Object) -> bool:
    spec, labels = node.get("spec", {}), node["metadata"].get("labels", {})
    selector = pod.get("nodeSelector", {})
    return (
        not spec.get("unschedulable")
        and all(labels.get(key) == value for key, value in selector.items())
        and _tolerated(spec.get("taints", ()), pod.get("tolerations", ()))
        and _near(node, pod)
    )


def _tolerated(taints: Iterable[Object], tolerations: Iterable[Object]) -> bool:
    known = list(tolerations)
    return all(
        any(_tolerates(each, taint) for each in known)
        for taint in taints
        if taint.get("effect") in _KEEPS_AWAY
    )


def _tolerates(toleration: Object, taint: Object) -> bool:
    key, effect = toleration.get("key", ""), toleration.get("effect", "")
    exists = toleration.get("operator", "Equal") == "Exists"
    same = exists or toleration.get("value", "") == taint.get("value", "")
    named = key == taint.get("key") if key else exists
    return same and named and effect in ("", taint.get("effect"))


def _near(node: Object, pod: Object) -> bool:
    affinity = pod.get("affinity", {}).get("nodeAffinity", {})
    wanted = affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
    if not wanted:
        return True
    return any(_term(node, term) for term in wanted.get("nodeSelectorTerms", ()))


def _term(node: Object, term: Object) -> bool:
    labels, name = node["metadata"].get("labels", {}), node["metadata"]["name"]
    by_label, by_field = term.get("matchExpressions", ()), term.get("matchFields", ())
    # A term without any requirement matches nothing.
    return bool(by_label or by_field) and (
        all(_meets(labels, each) for each in by_label)
        and all(_meets({"metadata.name": name}, each) for each in by_field)
    )


def _meets(labels: Mapping[str, str], requirement: Object) -> bool:
    found = labels.get(requirement["key"])
    judge = _OPERATORS.get(requirement.get("operator", ""))
    return bool(judge and judge(found, requirement.get("values") or []))


def _number(text: str | None) -> int | None:
    return int(text) if text and text.lstrip("-").isdigit() else None


def _greater(one: str | None, other: str | None) -> bool:
    left, right = _number(one), _number(other)
    return left is not None and right is not None and left > right


_OPERATORS: Mapping[str, Callable[[str | None, list[str]], bool]] = MappingProxyType(
    {
        "In": lambda found, values: found in values,
        "NotIn": lambda found, values: found not in values,
        "Exists": lambda found, _: found is not None,
        "DoesNotExist": lambda found, _: found is None,
        "Gt": lambda found, values: _greater(found, next(iter(values), None)),
        "Lt": lambda found, values: _greater(next(iter(values), None), found),
    }
)

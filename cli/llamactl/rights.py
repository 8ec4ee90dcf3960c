"""RBAC rules: what they allow, and which of the rules that are needed are not among them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Rule = Mapping[str, Any]
Right = tuple[str, str, str]  # group, resource, verb

# What the commands of llamactl do in a namespace.
OURS: tuple[tuple[str, tuple[str, ...], tuple[str, ...]], ...] = (
    (
        "llamactl.dev",
        ("llamadeployments", "llamaweights"),
        ("get", "list", "watch", "create", "patch", "delete"),
    ),
    ("", ("pods", "events"), ("list",)),
    ("", ("pods/log",), ("get",)),
    ("", ("pods/portforward",), ("create",)),
    ("", ("secrets",), ("get", "patch")),
    ("apps", ("deployments",), ("get",)),
)


def missing(
    needed: Iterable[tuple[str, Sequence[str], Sequence[str]]], rules: Sequence[Rule]
) -> tuple[str, ...]:
    """The rules to add, as a role writes them; none where all is allowed."""
    lacks: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for group, resources, verbs in needed:
        for resource in resources:
            open_ = tuple(verb for verb in verbs if not allowed((group, resource, verb), rules))
            if open_:
                lacks.setdefault((group, open_), []).append(resource)
    return tuple(written(group, found, verbs) for (group, verbs), found in lacks.items())


def allowed(right: Right, rules: Iterable[Rule]) -> bool:
    """Whether one of the rules gives it for every object of the kind."""
    group, resource, verb = right
    _, _, part = resource.partition("/")
    return any(
        not rule.get("resourceNames")
        and _has(rule.get("apiGroups"), group)
        and _has(rule.get("verbs"), verb)
        and (_has(rule.get("resources"), resource) or (part and _any(rule, f"*/{part}")))
        for rule in rules
    )


def written(group: str, resources: Sequence[str], verbs: Sequence[str]) -> str:
    """A rule as it stands in a role."""
    words = f"resources: [{', '.join(resources)}], verbs: [{', '.join(verbs)}]"
    return f'{{apiGroups: ["{group}"], {words}}}'


def _has(given: Any, wanted: str) -> bool:
    return wanted in (given or ()) or "*" in (given or ())


def _any(rule: Rule, wanted: str) -> bool:
    return wanted in (rule.get("resources") or ())

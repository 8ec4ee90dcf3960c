"""What a run of the operator's bench comes to, and whether it keeps its budget: pure."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from llama_operator.reconcile import resources
from tests.bench.audit import Request

MIB = 1 << 20
_STATUS = f"{resources.DEPLOYMENTS.plural}/status"
_CHILDREN = {kind.plural for kind in (*resources.SERVING_CHILDREN, resources.SECRETS)}
# What a process of this program takes that watches nothing.
_BASE = 80 * MIB


def _whose(request: Request) -> str:
    # Children are called after their deployment, with or without something behind it.
    return "-".join(request.name.split("-")[:2])


def _birth(request: Request) -> bool:
    return (
        request.made
        and request.verb == "create"
        and request.resource == resources.DEPLOYMENTS.plural
    )


def _children(requests: Iterable[Request]) -> list[Request]:
    return [each for each in requests if each.made and each.resource in _CHILDREN]


def spread(requests: Iterable[Request], since: float) -> float:
    """Seconds from the first deployment that was made to the last child."""
    recent = [each for each in requests if each.came >= since]
    first = min(each.came for each in recent if _birth(each))
    return max(each.answered for each in _children(recent)) - first


def percentile(values: list[float], percent: int) -> float:
    """The value that so many percent do not pass (nearest rank)."""
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)]


def delays(requests: list[Request], operator: str) -> list[float]:
    """Milliseconds from each edit by a user to the operator's answer in a NetworkPolicy."""
    edits = [
        each for each in requests
        if each.user != operator and each.made and each.resource == resources.DEPLOYMENTS.plural
    ]  # fmt: skip
    answers = [
        each for each in requests
        if each.user == operator and each.made and each.resource == resources.POLICIES.plural
    ]  # fmt: skip
    found = []
    for edit in edits:
        after = [a.answered for a in answers if a.name == edit.name and a.came >= edit.came]
        if not after:
            raise AssertionError(f"{edit.name}: the edit was not followed")
        found.append((min(after) - edit.came) * 1000)
    return found


@dataclass(frozen=True)
class Converged:
    """From the first deployment to rest."""

    seconds: float
    # Of each deployment, from its creation to its last child.
    milliseconds: list[float]
    cpu: float
    children: int
    statuses: int
    others: int

    @property
    def cpu_per_child(self) -> float:
        """Milliseconds, with all that is not a child but came with it."""
        return self.cpu * 1000 / self.children

    @classmethod
    def of(cls, created: list[Request], asked: list[Request], cpu: float) -> Converged:
        """From what users have made and what the operator has asked since."""
        made, children = [each for each in asked if each.made], _children(asked)
        last: dict[str, float] = {}
        for each in children:
            last[_whose(each)] = max(last.get(_whose(each), 0.0), each.answered)
        born = {each.name: each.came for each in created if _birth(each)}
        return cls(
            seconds=max(last.values()) - min(born.values()),
            # A deployment without children would not be in `last`, and that is no figure.
            milliseconds=[(last[name] - came) * 1000 for name, came in born.items()],
            cpu=cpu,
            children=len(children),
            statuses=sum(each.resource == _STATUS for each in made),
            others=sum(each.resource not in (*_CHILDREN, _STATUS) for each in made),
        )


@dataclass(frozen=True)
class Bare:
    """A bare loop of the same writes: seconds to the last child, CPU milliseconds of a write."""

    seconds: float
    cpu_ms: float


@dataclass(frozen=True)
class Memory:
    """Resident bytes of the operator: after it has made all, at most until then, and restarted."""

    made: int
    peak: int
    restarted: int
    # In its caches.
    objects: int


@dataclass(frozen=True)
class Verdict:
    """One figure and what it may be; no limit where it is only told."""

    what: str
    value: float
    unit: str
    most: float | None = None
    # A count is the same on every machine; a time is not.
    counted: bool = False

    @property
    def kept(self) -> bool:
        """Whether it is within its limit."""
        return self.most is None or self.value <= self.most

    def shown(self) -> bool:
        """Print it; False when it is over its limit."""
        verdict = "ok" if self.kept else "MISSED"
        limit = "" if self.most is None else f"(at most {self.most:g}) {verdict}"
        print(f"  {self.what:<44} {self.value:>10,.2f} {self.unit:<4} {limit}".rstrip(), flush=True)
        return self.kept


def _count(what: str, value: float, most: float | None = None) -> Verdict:
    return Verdict(what, value, "", most, counted=True)


@dataclass(frozen=True)
class Figures:
    """All phases of one run."""

    count: int
    converged: Converged
    at_rest: list[Request]
    restarted: list[Request]
    memory: Memory
    edits: list[float]

    def verdicts(self, loops: list[Bare], budget: dict[str, Any]) -> list[Verdict]:
        """Figures against their budget, and against bare loops where there were some."""
        return [
            *(self._beside(loops, budget) if loops else ()),
            *self._speed(budget),
            *self._writes(budget),
            *self._memory(budget),
            Verdict("edit -> child p50", percentile(self.edits, 50), "ms"),
            Verdict("edit -> child p99", percentile(self.edits, 99), "ms", budget["editP99Ms"]),
        ]

    def _beside(self, loops: list[Bare], budget: dict[str, Any]) -> list[Verdict]:
        seconds = statistics.mean(each.seconds for each in loops)
        cpu = statistics.mean(each.cpu_ms for each in loops)
        times, more = budget["timesBareLoop"], budget["cpuTimesBareWrite"]
        return [
            Verdict("bare loop of the same writes, last child", seconds, "s"),
            Verdict(
                "operator / bare loop, last child", self.converged.seconds / seconds, "", times
            ),
            Verdict("bare loop, CPU per write", cpu, "ms"),
            Verdict("CPU per child / per bare write", self.converged.cpu_per_child / cpu, "", more),
        ]

    def _speed(self, budget: dict[str, Any]) -> list[Verdict]:
        found = self.converged
        return [
            Verdict("operator, last child", found.seconds, "s", budget.get("lastChildSeconds")),
            Verdict("apply -> all children p50", statistics.median(found.milliseconds), "ms"),
            Verdict("apply -> all children p99", percentile(found.milliseconds, 99), "ms"),
            Verdict("CPU per child written", found.cpu_per_child, "ms", budget["cpuMsPerChild"]),
        ]

    def _writes(self, budget: dict[str, Any]) -> list[Verdict]:
        found, limit = self.converged, budget["perDeployment"]
        return [
            _count("children per deployment", found.children / self.count, limit["children"]),
            _count("statuses per deployment", found.statuses / self.count, limit["statuses"]),
            _count("other writes (events, copy)", found.others),
            _count("requests at rest", len(self.at_rest), 0),
            _count("writes after a restart", len(self.restarted), 0),
        ]

    def _memory(self, budget: dict[str, Any]) -> list[Verdict]:
        found = self.memory
        per_object = max(found.made - _BASE, 0) / found.objects
        most = budget.get("residentMiB")
        return [
            Verdict("resident, all made", found.made / MIB, "MiB", most),
            Verdict("resident, at most until then", found.peak / MIB, "MiB"),
            Verdict("resident, restarted", found.restarted / MIB, "MiB", most),
            Verdict("cached objects", found.objects, ""),
            Verdict(
                "bytes per cached object over 80 MiB", per_object, "B", budget["bytesPerObject"]
            ),
        ]

"""The runs of a deployment's containers, of servers and of the Jobs that fetch its weights. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from llamactl import view

Object = Mapping[str, Any]


@dataclass(frozen=True)
class Run:
    """One run of a container; a restart is another. `begun`: it has a log."""

    pod: str
    container: str
    uid: str
    number: int = 0
    begun: bool = True

    @property
    def prefix(self) -> str:
        """What stands before its lines, as kubectl's --prefix has it (`doctor --log` reads it)."""
        return f"[pod/{self.pod}/{self.container}] "


def runs(pods: Iterable[Object]) -> list[Run]:
    """The present run of every container, the oldest pod first."""
    by_age = sorted(pods, key=lambda pod: (str(view.path(pod, "metadata", "creationTimestamp")),
                                           view.name_of(pod)))  # fmt: skip
    return [run for pod in by_age for run in _of(pod)]


def _of(pod: Object) -> Iterator[Run]:
    uid = str(view.path(pod, "metadata", "uid") or view.name_of(pod))
    for kind in ("init", ""):
        statuses = view.path(
            pod, "status", f"{kind}ContainerStatuses" if kind else "containerStatuses"
        )
        known = {each.get("name"): each for each in statuses or ()}
        specs = view.path(pod, "spec", f"{kind}Containers" if kind else "containers") or ()
        for name in dict.fromkeys([*(each["name"] for each in specs), *known]):
            status = known.get(name) or {}
            state = status.get("state") or {}
            begun = "running" in state or "terminated" in state
            yield Run(view.name_of(pod), str(name), uid, int(status.get("restartCount", 0)), begun)

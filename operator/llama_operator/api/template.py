"""Templates of servers in one form, whether one pod serves or a group of them.

That of a group is that of its first rank, with the one of all others beside it, and how many pods it
has: so what reads `metadata` and `spec` of a template reads those of the pod that takes requests.
"""

from __future__ import annotations

from typing import Any, Final

Object = dict[str, Any]

GROUP_SET: Final = "LeaderWorkerSet"
# Beside `metadata` and `spec`.
WORKER: Final = "worker"
SIZE: Final = "size"


def is_group(template: Object) -> bool:
    """Whether a template is of several pods."""
    return WORKER in template


def size_of(template: Object) -> int:
    """Pods of one server."""
    return int(template.get(SIZE, 1))


def server_template(server: Object | None) -> Object:
    """The template that a Deployment or LeaderWorkerSet makes pods of; empty where there is none."""
    spec = (server or {}).get("spec", {})
    parts = spec.get("leaderWorkerTemplate")
    if parts is None:
        return dict(spec.get("template") or {})
    leader = parts.get("leaderTemplate") or {}
    return {**leader, WORKER: parts.get("workerTemplate") or {}, SIZE: parts.get("size", 1)}

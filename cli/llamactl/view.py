"""Readings of the two kinds that several commands share, all pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llama_operator.api import labels
from llama_operator.api.template import made_by_kserve
from llamactl import output
from llamactl.resources import DEPLOYMENTS, Resource

Object = Mapping[str, Any]


def name_of(obj: Object) -> str:
    """metadata.name."""
    return str(obj.get("metadata", {}).get("name", ""))


def path(obj: Object, *keys: str) -> Any:
    """A value deep in an object, None where any step is missing."""
    value: Any = obj
    for key in keys:
        if not isinstance(value, Mapping):
            return None
        value = value.get(key)
    return value


def behind_kserve(deployment: Object) -> bool:
    """Whether KServe is to make its pods."""
    return bool(path(deployment, "spec", "backend") == "kserve")


def grouped(deployment: Object) -> bool:
    """Whether each of its servers is a group of pods over several nodes."""
    return int(path(deployment, "status", "plan", "nodes") or 1) > 1


def maker_of(deployment: Object) -> str:
    """Name of what makes its pods; KServe makes a Deployment of its own for that."""
    name, resource = name_of(deployment), path(deployment, "spec", "kserve", "resource")
    return made_by_kserve(str(resource), name) if behind_kserve(deployment) else name


def full_name(obj: Object, resource: Resource = DEPLOYMENTS) -> str:
    """kind.group/name, as `kubectl -o name` prints it."""
    kind = resource.kind.lower()
    return f"{kind}.{resource.group}/{name_of(obj)}" if resource.group else f"{kind}/{name_of(obj)}"


def conditions(obj: Object) -> list[dict[str, Any]]:
    """The conditions of an object, as they stand."""
    found = path(obj, "status", "conditions")
    return [dict(c) for c in found if isinstance(c, Mapping)] if isinstance(found, list) else []


def condition(obj: Object, kind: str) -> dict[str, Any]:
    """The condition of one type that speaks of the current spec; empty where there is none.

    A condition of an older generation would report yesterday's failure for today's spec.
    """
    generation = path(obj, "metadata", "generation") or 0
    for found in conditions(obj):
        if found.get("type") == kind and found.get("observedGeneration", generation) >= generation:
            return found
    return {}


def is_true(obj: Object, kind: str) -> bool:
    """Is the condition True for the current spec?"""
    return condition(obj, kind).get("status") == "True"


def coloured_status(found: Mapping[str, Any]) -> str:
    """A condition's status in the colour of what it means; Degraded is bad when True."""
    status = str(found.get("status", "?"))
    wanted = "False" if found.get("type") == "Degraded" else "True"
    if status == "Unknown":
        return output.waiting(status)
    if status == wanted:
        return output.good(status)
    return output.bad(status) if found.get("type") == "Degraded" else output.waiting(status)


def pod_selector(name: str, component: str) -> str:
    """Label selector of a deployment's pods of one component."""
    return f"{labels.DEPLOYMENT}={name},{labels.COMPONENT}={component}"


def servers_selector(name: str) -> str:
    """Label selector of its servers, with one that is tried beside the others."""
    either = f"{labels.COMPONENT} in ({labels.SERVER},{labels.TRIED})"
    return f"{labels.DEPLOYMENT}={name},{either}"


def is_tried(pod: Object) -> bool:
    """Is it the one server of a revision that is tried beside the others?"""
    return bool(path(pod, "metadata", "labels", labels.COMPONENT) == labels.TRIED)


def trial_of(name: str) -> str:
    """Name of the Deployment that makes it."""
    from llama_operator.render import canary

    return canary.name_of(name)


def pod_ready(pod: Object) -> bool:
    """Is the pod's Ready condition True, and is it not being deleted?"""
    if path(pod, "metadata", "deletionTimestamp"):
        return False
    return any(c.get("type") == "Ready" and c.get("status") == "True" for c in conditions(pod))


def pod_state(pod: Object) -> tuple[str, str]:
    """(word, why) for a pod: Ready, Loading, Scheduling, or the container's own reason."""
    if path(pod, "metadata", "deletionTimestamp"):
        return "Stopping", ""
    if pod_ready(pod):
        return "Ready", ""
    trouble = _container_trouble(pod)
    if trouble:
        return trouble
    return _unplaced(pod) or _running_state(pod)


def _unplaced(pod: Object) -> tuple[str, str] | None:
    """Of one without a node: whether a queue holds it, or no node takes it."""
    if path(pod, "spec", "schedulingGates") and _held(pod):
        queue = path(pod, "metadata", "labels", labels.QUEUE)
        return "Queued", f"in Kueue's queue {queue}" if queue else "Kueue lets it wait"
    scheduled = condition(pod, "PodScheduled")
    if scheduled.get("status") != "False":
        return None
    return str(scheduled.get("reason") or "Pending"), str(scheduled.get("message") or "")


def _held(pod: Object) -> bool:
    from llama_operator.diagnose import queues

    return queues.held(dict(pod))


def _running_state(pod: Object) -> tuple[str, str]:
    phase = str(path(pod, "status", "phase") or "Pending")
    return ("Loading", "the server has started") if phase == "Running" else (phase, "")


def _container_trouble(pod: Object) -> tuple[str, str] | None:
    statuses = [
        *(path(pod, "status", "initContainerStatuses") or []),
        *(path(pod, "status", "containerStatuses") or []),
    ]
    for status in statuses:
        waits = path(status, "state", "waiting")
        if waits and waits.get("reason") not in (None, "PodInitializing"):
            return str(waits["reason"]), str(waits.get("message") or "")
    return None


def restarts(pod: Object) -> int:
    """How often the pod's containers were started again."""
    found = path(pod, "status", "containerStatuses") or []
    return sum(int(status.get("restartCount", 0)) for status in found)

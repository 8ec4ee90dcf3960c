"""Pods and Jobs that a queue holds back, and why: Kueue's gate on pods, suspension of Jobs.

To wait in a queue is no failure: it is what the queue was named for. So it is told apart from pods
that no node takes, and from starts that take too long.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from llama_operator.api import labels
from llama_operator.diagnose.pods import Cause
from llama_operator.diagnose.words import clip, still

Object = dict[str, Any]
# What Kueue says of what it holds back, by the UID of that; None or empty where nothing was heard.
Workloads = Mapping[str, Object | None]
REASON = "Queued"
_LIMIT = 400
_OVER = ("Complete", "Failed")
# Kueue's webhook, by its name.
_OF_GROUPS = re.compile(r"leaderworkerset\.kb\.io")
# The condition that is not met tells, the first one first.
_TELLING = ("QuotaReserved", "Admitted")


def held(obj: Object) -> bool:
    """Whether a pod or Job is kept from starting until somebody lets it."""
    if obj["metadata"].get("deletionTimestamp"):
        return False
    if obj.get("kind") == "Job":
        return bool(obj.get("spec", {}).get("suspend")) and not _over(obj)
    gates = obj.get("spec", {}).get("schedulingGates", ())
    return any(each.get("name") == labels.QUEUE_GATE for each in gates)


def _over(job: Object) -> bool:
    found = job.get("status", {}).get("conditions", ())
    return any(each["type"] in _OVER and each["status"] == "True" for each in found)


def cause(objects: Iterable[Object], workloads: Workloads) -> Cause | None:
    """Why some of the objects are held back; None where none is. The same one whatever their order."""
    found = [_cause(obj, workloads.get(_uid(obj))) for obj in objects if held(obj)]
    return min(found, key=lambda each: (not each.evidence, each.message), default=None)


def _cause(obj: Object, workload: Object | None) -> Cause:
    queue = str(obj["metadata"].get("labels", {}).get(labels.QUEUE, ""))
    if obj.get("kind") == "Job" and not (queue or workload):
        text = "The Job is suspended: it goes on once its spec.suspend is false"
        return Cause(REASON, text)
    queue = queue or _queue_of(workload)
    said = says(workload)
    what = f"Kueue's queue {queue} lets it wait" if queue else "Kueue lets it wait"
    text = f"{what}: {said.rstrip('.') or 'it has said nothing of it yet'}. {fix(queue, said)}"
    return Cause(REASON, text, evidence=said)


def _queue_of(workload: Object | None) -> str:
    return str((workload or {}).get("spec", {}).get("queueName", ""))


def says(workload: Object | None) -> str:
    """Kueue's own words about what waits; "" where it has none."""
    found = (workload or {}).get("status", {}).get("conditions", ())
    unmet = {each["type"]: each for each in found if each.get("status") == "False"}
    texts = (str(unmet[kind].get("message", "")) for kind in _TELLING if kind in unmet)
    return clip(still(next(filter(None, texts), "")), _LIMIT)


def fix(queue: str, said: str) -> str:
    """What lets it start, by what Kueue says."""
    if "LocalQueue" in said and ("exist" in said or "not found" in said):
        return (
            f"Make a LocalQueue {queue or 'of that name'} in this namespace, or name another queue"
        )
    if "ClusterQueue" in said and ("exist" in said or "not found" in said or "inactive" in said):
        return "Make or mend the ClusterQueue that the LocalQueue names: kubectl get clusterqueues"
    if "maximum capacity" in said:
        return "It never starts with this quota: raise that of the ClusterQueue, or ask for less"
    return "It starts by itself once others end; sooner with more quota in the ClusterQueue"


def refused(message: str, obj: Object) -> str:
    """What lets a change through that Kueue refuses of an object that runs; "" for other refusals."""
    of_groups = obj["kind"] == "LeaderWorkerSet" and _OF_GROUPS.search(message)
    if "immutable" not in message or not (of_groups or labels.QUEUE in message):
        return ""
    what = "neither the queue nor what pods ask for" if of_groups else "no queue"
    meta = obj["metadata"]
    command = f"kubectl -n {meta['namespace']} delete {obj['kind'].lower()} {meta['name']}"
    return (
        f"Kueue lets {what} change while servers run. Take the change back, or let them start anew "
        f"in the queue, with no answer meanwhile: {command}"
    )


def waited(pod: Object) -> bool:
    """Whether a queue has looked after a pod: when it let go is not written on it."""
    own = pod["metadata"].get("labels", {})
    return any(name.startswith(labels.QUEUE_PREFIX) for name in own)


def _uid(obj: Object) -> str:
    return str(obj["metadata"].get("uid", ""))

"""What is wrong with the servers of a deployment: the verdict of `Degraded` and of llamactl.

One function for both, so that the condition and the command never tell two stories of one pod. The
metric by cause is read from the condition.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from llama_operator.diagnose import events as kubernetes
from llama_operator.diagnose import pods
from llama_operator.diagnose.events import NONE, Events
from llama_operator.diagnose.pods import Cause, Logs
from llama_operator.diagnose.template import of_template
from llama_operator.diagnose.words import clip, still

Object = dict[str, Any]
# One that had to leave its node is replaced, and may be the only one.
_OFTEN = 2


def worst(
    found: Iterable[Object], server: Object | None, logs: Logs, events: Events = NONE
) -> Cause | None:
    """The most telling cause among the pods of the Deployment's present template.

    How one ended tells more than what Kubernetes complains of about one that waits.
    """
    current = of_template(found, server)
    alive = [pod for pod in current if not _over(pod)]
    return pods.worst(alive, logs) or kubernetes.worst(alive, events) or _ousted(current, server)


def _over(pod: Object) -> bool:
    """Whether it has failed for good and was replaced: of a Deployment only Kubernetes does that."""
    return bool(pod.get("status", {}).get("phase") == "Failed")


def _ousted(current: Iterable[Object], server: Object | None) -> Cause | None:
    """Why pods have to leave again and again, while there are too few that answer."""
    live = (server or {}).get("status", {})
    if int(live.get("readyReplicas", 0)) >= int(live.get("replicas", 1)):
        return None
    gone = [pod["status"] for pod in current if _over(pod) and pod["status"].get("reason")]
    for reason, count in Counter(str(each["reason"]) for each in gone).most_common(1):
        texts = [str(each.get("message", "")) for each in gone if each["reason"] == reason]
        if count >= _OFTEN:
            return Cause(reason, f"Kubernetes says: {clip(still(min(texts)), kubernetes.LIMIT)}")
    return None


def refused(server: Object | None) -> Cause | None:
    """Why Kubernetes makes no pods for the Deployment; None where it does."""
    for condition in (server or {}).get("status", {}).get("conditions", ()):
        if condition.get("type") == "ReplicaFailure" and condition.get("status") == "True":
            return kubernetes.refused(condition.get("message", ""))
    return None


def over_budget(server: Object | None) -> bool:
    """Whether the Deployment, as it now is, has made no progress for as long as it may take."""
    meta, live = (server or {}).get("metadata", {}), (server or {}).get("status", {})
    seen = live.get("observedGeneration") == meta.get("generation")
    return seen and any(
        each.get("type") == "Progressing" and each.get("reason") == "ProgressDeadlineExceeded"
        for each in live.get("conditions", ())
    )

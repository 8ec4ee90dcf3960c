"""What is wrong with the servers of a deployment: the verdict of `Degraded` and of llamactl.

One function for both, so that the condition and the command never tell two stories of one pod.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from llama_operator.diagnose import pods
from llama_operator.diagnose.pods import Cause, Logs
from llama_operator.diagnose.template import of_template

Object = dict[str, Any]
_POD = re.compile(r'pods "[^"]*"')


def worst(found: Iterable[Object], server: Object | None, logs: Logs) -> Cause | None:
    """The most telling cause among the pods of the Deployment's present template."""
    return pods.worst(of_template(found, server), logs)


def refused(server: Object | None) -> Cause | None:
    """Why Kubernetes makes no pods for the Deployment; None where it does."""
    for condition in (server or {}).get("status", {}).get("conditions", ()):
        if condition.get("type") == "ReplicaFailure" and condition.get("status") == "True":
            # The pod's name is made up anew for each attempt.
            text = _POD.sub("pods", condition.get("message", ""))
            if "exceeded quota" in text:
                return Cause("QuotaExceeded", text)
            return Cause("AdmissionRefused", text)
    return None

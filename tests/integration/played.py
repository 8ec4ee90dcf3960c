"""Plays the kubelet on a control plane without nodes: pods end, or become ready, as a test says.

Everything else is real: the Job and Deployment controllers, the garbage collector, RBAC.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from tests.support.cluster import Cluster
from tests.support.stack import Stack, wait_for

Object = dict[str, Any]


class Kubelet:
    """Sets the status of pods through the API server, as a kubelet does."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack

    @property
    def cluster(self) -> Cluster:
        """The cluster that is played on."""
        return self.stack.cluster

    def pod(self, selector: str, seconds: float = 20) -> Object:
        """The first pod of a selector that has not ended, as soon as there is one."""

        def running() -> Object | None:
            pods = self.stack.list("pods", "default", "-l", selector)
            alive = [
                pod
                for pod in pods
                if pod.get("status", {}).get("phase") in (None, "Pending", "Running")
            ]
            return alive[0] if alive else None

        found: Object = wait_for(running, seconds, f"a pod with {selector}")
        return found

    def end(self, selector: str, result: Object, code: int = 0) -> None:
        """End the pod of a Job, as soon as it is there, with a termination message."""
        self.finish(self.pod(selector), result, code)

    def finish(self, pod: Object, result: Object, code: int = 0) -> None:
        """End this pod with a termination message."""
        state = {
            "terminated": {"exitCode": code, "finishedAt": now(), "message": json.dumps(result)}
        }
        phase = "Succeeded" if code == 0 else "Failed"
        self._set(pod, phase, state, ready=False)

    def ready(self, selector: str) -> None:
        """Let a server's pod become ready, as soon as it is there."""
        self.answer(self.pod(selector))

    def answer(self, pod: Object) -> None:
        """Let this pod of a server become ready."""
        self._set(pod, "Running", {"running": {"startedAt": now()}}, ready=True)

    def wait(self, selector: str, reason: str, message: str = "") -> None:
        """Let a pod's container wait for a reason such as ErrImagePull."""
        state = {"waiting": {"reason": reason, "message": message}}
        self._set(self.pod(selector), "Pending", state, ready=False)

    def complain(self, selector: str, reason: str, message: str) -> None:
        """Let a pod that has had a node for long not get on, and say why in an event."""
        pod = self.pod(selector)
        about = {key: pod["metadata"][key] for key in ("name", "namespace", "uid")}
        event = {
            "apiVersion": "v1", "kind": "Event", "type": "Warning",
            "metadata": {"name": f"{about['name']}.1", "namespace": about["namespace"]},
            "involvedObject": {"apiVersion": "v1", "kind": "Pod", **about},
            "reason": reason, "message": message, "count": 1,
            "firstTimestamp": now(), "lastTimestamp": now(), "source": {"component": "kubelet"},
        }  # fmt: skip
        self.cluster.kubectl("apply", "-f", "-", input=json.dumps(event))
        state = {"waiting": {"reason": "ContainerCreating"}}
        self._set(pod, "Pending", state, ready=False, scheduled="2026-01-01T00:00:00Z")

    def _set(
        self, pod: Object, phase: str, state: Object, *, ready: bool, scheduled: str = ""
    ) -> None:
        container = pod["spec"]["containers"][0]
        placed = {"type": "PodScheduled", "status": "True", "lastTransitionTime": scheduled}
        status: Object = {
            "phase": phase,
            "conditions": [
                {"type": kind, "status": "True" if ready else "False", "lastTransitionTime": now()}
                for kind in ("Ready", "ContainersReady")
            ]
            + ([placed] if scheduled else []),
            "containerStatuses": [
                {
                    "name": container["name"],
                    "image": container["image"],
                    "imageID": "",
                    "ready": ready,
                    "restartCount": 0,
                    "state": state,
                }
            ],
        }
        name = pod["metadata"]["name"]
        patch = json.dumps({"status": status})
        self.cluster.kubectl(
            "patch", "pod", name, "--subresource=status", "--type=merge", "-p", patch
        )


def now() -> str:
    """RFC 3339, to the second."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

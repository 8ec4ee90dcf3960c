"""A node that is played, with as many GPUs as a test says; scheduler and controllers are real.

Pods that are bound to it run: they become ready after a while, or end, as their arguments say. A pod
that is deleted goes after a while too, as one that drains does.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Any

from llama_operator.api import labels
from llama_operator.reconcile import resources
from llama_operator.runtime import Api, Informer
from llama_operator.runtime.errors import ClusterError, NotFound
from tests.support.builders import gpu_node

Object = dict[str, Any]
NAME = "played"
# The controller manager calls a node lost that says nothing for 40 s.
BEAT_SECONDS = 10.0
PULL_SECONDS = 1.0
BAD_FLAG = "--no-such-flag"
BAD_WORDS = f"vllm: error: unrecognized arguments: {BAD_FLAG}"


class PlayedNode:
    """The node, and the pods of the cluster as they were last seen."""

    def __init__(self, api: Api, load_seconds: float, stop_seconds: float) -> None:
        self._api, self._stop = api, stop_seconds
        # How long a server starts, from now on.
        self.load_seconds = load_seconds
        self.pods = Informer(api, resources.PODS)
        self._tasks: set[asyncio.Task[Any]] = set()
        self._begun: set[str] = set()
        self._gpus = 0
        # Images that it has, and those that a server had to wait for.
        self.images: set[str] = set()
        self.missed: list[str] = []

    @classmethod
    @contextlib.asynccontextmanager
    async def running(
        cls, api: Api, gpus: int, *, load_seconds: float = 0.4, stop_seconds: float = 0.2
    ) -> AsyncIterator[PlayedNode]:
        """A node that is ready."""
        node = cls(api, load_seconds, stop_seconds)
        bare = gpu_node(NAME, gpus)
        bare["metadata"]["labels"]["kubernetes.io/hostname"] = NAME
        await api.create(resources.NODES, {**bare, "status": {}})
        await node.gives(gpus)
        node.pods.add_handler(lambda _event, _old, pod: node._see(pod))
        node._start(node.pods.run())
        node._start(node._beat())
        await asyncio.wait_for(node.pods.wait_synced(), 30)
        try:
            yield node
        finally:
            for task in node._tasks:
                task.cancel()
            await asyncio.gather(*node._tasks, return_exceptions=True)

    async def gives(self, gpus: int) -> None:
        """From now on it has so many GPUs."""
        self._gpus = gpus
        given = gpu_node(NAME, gpus)["status"]["allocatable"]
        ready = {
            "type": "Ready", "status": "True", "reason": "KubeletReady", "message": "",
            "lastHeartbeatTime": _now(), "lastTransitionTime": _now(),
        }  # fmt: skip
        status = {"allocatable": given, "capacity": given, "conditions": [ready]}
        await self._api.patch(resources.NODES, None, NAME, {"status": status}, subresource="status")

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(BEAT_SECONDS)
            await self.gives(self._gpus)

    def _start(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _see(self, pod: Object | None) -> None:
        if pod is None or pod["spec"].get("nodeName") != NAME:
            return
        ends = bool(pod["metadata"].get("deletionTimestamp"))
        key = pod["metadata"]["uid"] + (" ends" if ends else "")
        if key not in self._begun:
            self._begun.add(key)
            self._start(self._remove(pod) if ends else self._run(pod))

    async def _run(self, pod: Object) -> None:
        if pod["metadata"].get("labels", {}).get(labels.COMPONENT) == labels.PULL:
            await self._pull(pod)
            over = {"terminated": {"exitCode": 0, "finishedAt": _now()}}
            await self._set(pod, over, ready=False, phase="Succeeded")
            return
        self.missed += await self._pull(pod)
        await self._set(pod, {"running": {"startedAt": _now()}}, ready=False)
        await asyncio.sleep(self.load_seconds)
        if BAD_FLAG in pod["spec"]["containers"][0].get("args", ()):
            how = {"exitCode": 2, "reason": "Error", "finishedAt": _now(), "message": BAD_WORDS}
            await self._set(pod, {"terminated": how}, ready=False)
        else:
            await self._set(pod, {"running": {"startedAt": _now()}}, ready=True)

    async def _pull(self, pod: Object) -> list[str]:
        """Bring what is not there; which images that were."""
        new = [
            each["image"] for each in pod["spec"]["containers"] if each["image"] not in self.images
        ]
        await asyncio.sleep(PULL_SECONDS * len(new))
        self.images.update(new)
        return new

    async def _set(
        self, pod: Object, state: Object, *, ready: bool, phase: str = "Running"
    ) -> None:
        meta, container = pod["metadata"], pod["spec"]["containers"][0]
        said = [{"type": kind, "status": str(ready), "lastTransitionTime": _now()}
                for kind in ("Ready", "ContainersReady")]  # fmt: skip
        box = {
            "name": container["name"], "image": container["image"], "imageID": "",
            "ready": ready, "started": ready, "restartCount": 0, "state": state,
        }  # fmt: skip
        scheduled = {"type": "PodScheduled", "status": "True", "lastTransitionTime": _now()}
        status = {
            "phase": phase,
            "conditions": [scheduled, *said],
            "containerStatuses": [box],
        }
        with contextlib.suppress(NotFound):
            await self._api.patch(
                resources.PODS,
                meta["namespace"],
                meta["name"],
                {"metadata": {"uid": meta["uid"]}, "status": status},
                subresource="status",
            )

    async def _remove(self, pod: Object) -> None:
        await asyncio.sleep(self._stop)
        meta = pod["metadata"]
        with contextlib.suppress(ClusterError):
            await self._api.delete(
                resources.PODS, meta["namespace"], meta["name"], uid=meta["uid"], grace_seconds=0
            )


def answers(pod: Object) -> bool:
    """Whether requests reach it: ready, and not on its way out."""
    conditions = pod.get("status", {}).get("conditions", ())
    ready = any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)
    return ready and not pod["metadata"].get("deletionTimestamp")


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


async def until(check: Callable[[], Any], seconds: float, what: str) -> Any:
    """The first truthy answer; raises TimeoutError that names what was waited for."""
    end = asyncio.get_running_loop().time() + seconds
    while not (found := check()):
        if asyncio.get_running_loop().time() > end:
            raise TimeoutError(f"{what}: not within {seconds:g} s")
        await asyncio.sleep(0.05)
    return found

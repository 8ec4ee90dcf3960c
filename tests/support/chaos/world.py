"""The API server as it is: what is in a namespace, and a kubelet that is played.

Everything is read by watches of the whole cluster that go past the proxy, so that many lives can
be looked at many times a second. A picture leaves out what differs between two lives that went
well: UIDs, versions, times, the random key.
"""

from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from llama_operator.api import labels
from llama_operator.reconcile import resources
from llama_operator.runtime import LEASES, Api, Informer, Key, NotFound, Resource
from llama_operator.runtime.errors import ClusterError
from tests.support.simulation import ACCESSIBLE, FETCHED

Object = dict[str, Any]
REPLICA_SETS = Resource("apps", "v1", "replicasets", "ReplicaSet")
_COUNTED = ("Pod", "ReplicaSet")
_PICTURED = (
    resources.DEPLOYMENTS,
    resources.WEIGHTS,
    *resources.SERVING_CHILDREN,
    *resources.WEIGHTS_CHILDREN,
    resources.SECRETS,
)
_UNLIKE = (
    "uid", "resourceVersion", "creationTimestamp", "managedFields", "generation", "selfLink",
    "namespace", "deletionGracePeriodSeconds",
)  # fmt: skip
_TIMES = ("lastTransitionTime", "unusedSince", "lastVerifiedAt", "deletionTimestamp")
# Of the owner's UID, or of how many rollouts there were.
_ANNOTATIONS = (labels.INTENT_HASH, "deployment.kubernetes.io/revision")
COMPONENT = "app.kubernetes.io/component"


class World:
    """Caches of all that lives touch, and the kubelet."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self._caches = {kind.kind: Informer(api, kind) for kind in _PICTURED}
        self._caches |= {
            kind.kind: Informer(api, kind) for kind in (resources.PODS, REPLICA_SETS, LEASES)
        }
        self._tasks: set[asyncio.Task[None]] = set()
        self._caches["Pod"].add_handler(lambda _event, _old, pod: self._play(pod))

    async def __aenter__(self) -> World:
        for cache in self._caches.values():
            self._tasks.add(asyncio.ensure_future(cache.run()))
        for cache in self._caches.values():
            await asyncio.wait_for(cache.wait_synced(), 30)
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def get(self, kind: str, namespace: str, name: str) -> Object | None:
        """One object, as it was last seen."""
        return self._caches[kind].store.get(namespace, name)

    def all(self, kind: str, namespace: str) -> list[Object]:
        """Objects of a kind that are ours."""
        return [obj for obj in self._caches[kind].store.list(namespace) if _ours(obj)]

    def picture(self, namespace: str) -> Object:
        """All that is ours in a namespace, without what differs from life to life."""
        found: Object = {}
        for kind in self._caches:
            for obj in self.all(kind, namespace):
                if kind in _COUNTED:
                    name = _counted(obj)
                    found[name] = found.get(name, 0) + 1
                else:
                    found[f"{kind}/{obj['metadata']['name']}"] = _plain(obj, namespace)
        return found

    # -- the kubelet --------------------------------------------------------------------------

    def _play(self, pod: Object | None) -> None:
        if pod is None or not _ours(pod) or pod["metadata"].get("deletionTimestamp"):
            return
        status = _wished(pod)
        phase = pod.get("status", {}).get("phase")
        if status is not None and phase not in ("Succeeded", "Failed") and phase != status["phase"]:
            task = asyncio.ensure_future(self._set(Key(*_place(pod)), status))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _set(self, key: Key, status: Object) -> None:
        for _ in range(120):  # as long as an outage takes
            try:
                await self.api.patch(resources.PODS, *key, {"status": status}, subresource="status")
            except NotFound:
                return
            except ClusterError:
                await asyncio.sleep(0.5)
            else:
                return


def _ours(obj: Object) -> bool:
    if obj["kind"] in ("LlamaDeployment", "LlamaWeights"):
        return True
    own = obj["metadata"].get("labels", {})
    return any(name in own for name in (labels.DEPLOYMENT, labels.WEIGHTS))


def _place(obj: Object) -> tuple[str, str]:
    return obj["metadata"]["namespace"], obj["metadata"]["name"]


def _wished(pod: Object) -> Object | None:
    component = pod["metadata"]["labels"].get(COMPONENT)
    container = pod["spec"]["containers"][0]
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    results = {"preflight": ACCESSIBLE, "fetch": FETCHED}
    if component in results:
        message = json.dumps(results[component])
        state: Object = {"terminated": {"exitCode": 0, "finishedAt": now, "message": message}}
    elif component == "server":
        state = {"running": {"startedAt": now}}
    else:
        return None
    ready = component == "server"
    return {
        "phase": "Running" if ready else "Succeeded",
        "conditions": [
            {"type": kind, "status": str(ready), "lastTransitionTime": now}
            for kind in ("Ready", "ContainersReady")
        ],
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


# -- pictures -------------------------------------------------------------------------------------


def _counted(obj: Object) -> str:
    kind, component = obj["kind"], obj["metadata"]["labels"].get(COMPONENT)
    ending = " ending" if obj["metadata"].get("deletionTimestamp") else ""
    ready = [c for c in obj.get("status", {}).get("conditions", ()) if c["type"] == "Ready"]
    said = f" ready={ready[0]['status']}" if ready else ""
    return f"{kind} of {component}{said}{ending}"


def _plain(obj: Object, namespace: str) -> Object:
    plain = copy.deepcopy(obj)
    meta = plain["metadata"]
    for name in _UNLIKE:
        meta.pop(name, None)
    for name in _ANNOTATIONS:
        meta.get("annotations", {}).pop(name, None)
    for reference in meta.get("ownerReferences", ()):
        del reference["uid"]
    special = _SPECIAL.get(plain["kind"])
    if special:
        special(plain)
    text = json.dumps(_timeless(plain))
    found: Object = json.loads(text.replace(namespace, "NAMESPACE"))
    return found


def _timeless(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            name: "TIME" if name in _TIMES else _timeless(item)
            for name, item in value.items()
            if name != labels.INTENT_HASH
        }
    return [_timeless(item) for item in value] if isinstance(value, list) else value


def _secret(obj: Object) -> None:
    obj["data"] = sorted(obj.get("data", {}))


def _service(obj: Object) -> None:
    for name in ("clusterIP", "clusterIPs"):
        obj["spec"].pop(name, None)


def _llama(obj: Object) -> None:
    # Which GPUs were free when a rollout began, and what was said of it, is of that moment.
    for name in ("reason", "freeGPUs"):
        obj.get("status", {}).get("rollout", {}).pop(name, None)


def _server(obj: Object) -> None:
    notes = obj["metadata"].get("annotations", {})
    told = json.loads(notes.get(labels.ROLLOUT, "{}"))
    if told:
        kept = {name: value for name, value in told.items() if name not in ("reason", "free")}
        notes[labels.ROLLOUT] = json.dumps(kept)
    # Its conditions tell how it got here; what counts is where it is.
    for name in ("conditions", "observedGeneration", "collisionCount"):
        obj.get("status", {}).pop(name, None)


def _budget(obj: Object) -> None:
    obj.pop("status", None)


_SPECIAL: dict[str, Callable[[Object], None]] = {
    "LlamaDeployment": _llama,
    "Secret": _secret,
    "Service": _service,
    "Deployment": _server,
    "PodDisruptionBudget": _budget,
}


def difference(wanted: Object, found: Object) -> str:
    """What two pictures do not share, one line each."""
    lines = []
    for name in sorted({*wanted, *found}):
        if wanted.get(name) != found.get(name):
            lines += [f"- {name}: {json.dumps(wanted.get(name))[:1500]}"]
            lines += [f"+ {name}: {json.dumps(found.get(name))[:1500]}"]
    return "\n".join(lines)

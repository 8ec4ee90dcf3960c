"""The verbs of the Kubernetes API on raw dicts.

Raw dicts, because typed models cost ten times the CPU and silently drop the fields of newer
servers. There is no PUT for the same reason: whole objects are never written back; changes are
server-side apply (own fields only) or patches. Every write asks the fence first, so that a
process that lost its lease stops writing even when its workers do not know it yet.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from typing import Any, Literal

from kubernetes.aio.client import Configuration

from .errors import Gone, NotFound
from .resource import PODS, Object, Resource
from .stream import IDLE_SECONDS, watch_lines
from .transport import JSON, Call, Transport, decode

PAGE = 500
LOG_LIMIT_BYTES = 1 << 20
NEVER = "1"
"""A resourceVersion that no object has: etcd starts to count at 1, the first object gets 2."""

_APPLY = "application/apply-patch+yaml"
_BRIEF = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io,application/json"
_PATCH_TYPES = {
    "merge": "application/merge-patch+json",
    "json": "application/json-patch+json",
}


def _whole(obj: Object) -> Object:
    return obj


class ObjectList(list[Object]):
    """Objects of a list answer, with the resourceVersion a watch may start from."""

    resource_version: str = ""


class Api:
    """Client of one API server; options are those of Transport.

    Any call may raise ApiError (the server's no) or TransportError (no answer; a write may have
    landed all the same). Writes raise NotLeader when `fence` says so.
    """

    def __init__(self, configuration: Configuration, **options: Any) -> None:
        self.transport = Transport(configuration, **options)
        self.clock = self.transport.clock
        self.breaker = self.transport.breaker
        self.fence: Callable[[], None] = _open_fence

    async def close(self) -> None:
        """Close the session."""
        await self.transport.close()

    async def get(
        self,
        resource: Resource,
        namespace: str | None,
        name: str,
        *,
        urgent: bool = False,
    ) -> Object:
        """One object; raises NotFound."""
        path = resource.path(namespace, name)
        call = Call("GET", path, ("get", resource.plural), urgent=urgent)
        return resource.typed(decode(await self.transport.request(call), path))

    async def list(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        label_selector: str | None = None,
        field_selector: str | None = None,
        shape: Callable[[Object], Object] = _whole,
    ) -> ObjectList:
        """All objects as of one moment, fetched in pages of 500.

        `shape` makes each smaller before the next page is fetched. When the snapshot expires
        between two pages (410), the list is fetched whole instead.
        """
        selectors = _selectors(label_selector, field_selector)
        path = resource.path(namespace)
        try:
            return await self._pages(resource, path, {**selectors, "limit": str(PAGE)}, shape)
        except Gone:
            return await self._pages(resource, path, selectors, shape)

    async def _pages(
        self,
        resource: Resource,
        path: str,
        query: dict[str, str],
        shape: Callable[[Object], Object],
    ) -> ObjectList:
        found = ObjectList()
        token = ""
        while True:
            query = {**query, "continue": token} if token else query
            call = Call("GET", path, ("list", resource.plural), query)
            page = decode(await self.transport.request(call), path)
            found.extend(shape(resource.typed(item)) for item in page.get("items") or [])
            found.resource_version = page["metadata"]["resourceVersion"]
            token = page["metadata"].get("continue") or ""
            if not token:
                return found

    async def create(
        self, resource: Resource, obj: Object, *, manager: str = "", urgent: bool = False
    ) -> Object:
        """Create; raises AlreadyExists."""
        path = resource.path(obj["metadata"].get("namespace"))
        label = ("create", resource.plural)
        call = Call("POST", path, label, _managed(manager), obj, urgent=urgent)
        return await self._write(call)

    async def apply(
        self,
        resource: Resource,
        obj: Object,
        *,
        manager: str,
        force: bool = True,
        create: bool = False,
        subresource: str | None = None,
        brief: bool = False,
    ) -> Object:
        """Server-side apply: own exactly the fields in `obj` (apiVersion, kind, name included).

        With `create`, Conflict when the name is taken, by whomever: one request instead of a look
        and a write, and nobody can come in between (all built-in and custom kinds, measured on
        1.36; a server that does not do so answers Conflict to the first write as well).

        With `metadata.uid`, nothing is resurrected: Conflict when the object is gone, Invalid (or
        Conflict, for custom resources) when its name has a new uid. With `resourceVersion`,
        Conflict when it has changed since. With `subresource="status"`, NotFound when it is gone.

        With `brief` the answer is the object's metadata alone, of a Deployment 5 KB of 28 (a
        PartialObjectMetadata; the whole object from a server that cannot do that).
        """
        metadata = obj["metadata"]
        if create:
            obj = {**obj, "metadata": {**metadata, "resourceVersion": NEVER}}
        path = resource.path(metadata.get("namespace"), metadata["name"], subresource or "")
        query = {"fieldManager": manager, "force": "true" if force else "false"}
        label = (f"apply_{subresource}" if subresource else "apply", resource.plural)
        accept = _BRIEF if brief else JSON
        return await self._write(Call("PATCH", path, label, query, obj, _APPLY, accept))

    async def patch(
        self,
        resource: Resource,
        namespace: str | None,
        name: str,
        patch: Any,
        *,
        kind: Literal["merge", "json"] = "merge",
        subresource: str | None = None,
        manager: str = "",
        urgent: bool = False,
    ) -> Object:
        """Merge patch (a dict) or JSON patch (a list of operations).

        `metadata.resourceVersion` in a merge patch, or a `test` operation, makes it conditional.
        Urgent calls skip limiter and fence: only the lease itself is written that way.
        """
        path = resource.path(namespace, name, subresource or "")
        label = ("patch", resource.plural)
        query = _managed(manager)
        content_type = _PATCH_TYPES[kind]
        return await self._write(
            Call("PATCH", path, label, query, patch, content_type, urgent=urgent)
        )

    async def delete(
        self,
        resource: Resource,
        namespace: str | None,
        name: str,
        *,
        uid: str | None = None,
        resource_version: str | None = None,
        propagation: Literal["Background", "Foreground", "Orphan"] = "Background",
        grace_seconds: int | None = None,
    ) -> None:
        """Delete; Conflict when uid or resourceVersion differ, NotFound when it is gone."""
        pairs = (("uid", uid), ("resourceVersion", resource_version))
        preconditions = {name: value for name, value in pairs if value}
        body: Object = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "propagationPolicy": propagation,
        }
        if preconditions:
            body["preconditions"] = preconditions
        if grace_seconds is not None:
            body["gracePeriodSeconds"] = grace_seconds
        path = resource.path(namespace, name)
        await self._write(Call("DELETE", path, ("delete", resource.plural), body=body))

    async def _write(self, call: Call) -> Object:
        if not call.urgent:
            self.fence()
        data = await self.transport.request(call)
        return decode(data, call.path, brief=call.accept == _BRIEF)

    def watch(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        resource_version: str | None = None,
        timeout_seconds: int = 300,
        initial_events: bool = False,
        label_selector: str | None = None,
        field_selector: str | None = None,
        idle_seconds: float = IDLE_SECONDS,
        opened: Callable[[], None] = lambda: None,
    ) -> AsyncGenerator[Object, None]:
        """Events {type, object}, BOOKMARK included, until the server ends the stream.

        `initial_events` streams the present state first (WatchList). An ERROR event is raised as
        the ApiError it carries (Gone for 410); a torn line, silence or a cut as TransportError.
        `opened` is called when the server has accepted the watch.
        """
        query = _selectors(label_selector, field_selector)
        query |= {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(timeout_seconds),
        }
        if initial_events:
            query |= {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan"}
        if resource_version:
            query["resourceVersion"] = resource_version
        path = resource.path(namespace)
        call = Call("GET", path, ("watch", resource.plural), query)
        return watch_lines(self.transport, call, idle_seconds, opened)

    async def logs(
        self,
        namespace: str,
        pod: str,
        container: str | None = None,
        *,
        tail_lines: int | None = 100,
        previous: bool = False,
        limit_bytes: int = LOG_LIMIT_BYTES,
        since_seconds: int | None = None,
        timestamps: bool = False,
    ) -> str:
        """The last lines of a container's log; `previous` is the run before the last restart.

        With `timestamps` each line begins with its time (RFC 3339) and a space. Without
        `tail_lines` the first `limit_bytes` of it, or of what came in `since_seconds`.
        """
        bounds = {"limitBytes": limit_bytes, "sinceSeconds": since_seconds, "tailLines": tail_lines}
        query = {name: str(bound) for name, bound in bounds.items() if bound is not None}
        if container:
            query["container"] = container
        flags = {"previous": previous, "timestamps": timestamps}
        query |= {name: "true" for name, asked in flags.items() if asked}
        path = PODS.path(namespace, pod, "log")
        call = Call("GET", path, ("get_log", PODS.plural), query, accept="*/*")
        return (await self.transport.request(call)).decode("utf-8", "replace")

    async def served(self, resource: Resource) -> bool:
        """Whether the server knows this kind in this version (an optional CRD is installed)."""
        root = resource.path().removesuffix("/" + resource.plural)
        try:
            data = await self.transport.request(Call("GET", root, ("discover", resource.plural)))
        except NotFound:
            return False
        names = (entry["name"] for entry in decode(data, root).get("resources", []))
        return resource.plural in names

    async def version(self) -> Object:
        """The server's /version."""
        call = Call("GET", "/version", ("get", "version"))
        return decode(await self.transport.request(call), call.path)


def _open_fence() -> None:
    """Everyone may write: without leader election there is one process."""


def _selectors(label: str | None, field: str | None) -> dict[str, str]:
    pairs = (("labelSelector", label), ("fieldSelector", field))
    return {name: value for name, value in pairs if value}


def _managed(manager: str) -> dict[str, str]:
    return {"fieldManager": manager} if manager else {}

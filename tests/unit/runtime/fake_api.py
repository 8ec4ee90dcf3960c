"""An API server in memory that can misbehave on purpose: cut, tear, delay, refuse, fall silent.

It keeps one history of changes with one counter of versions, as etcd does, so that lists, watches
and preconditions agree with each other. It knows nothing of schemas or admission.
"""

from __future__ import annotations

import asyncio
import copy
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from kubernetes.aio.client import Configuration

from llama_operator.runtime import Api

Obj = dict[str, Any]


@dataclass
class Fault:
    """What happens to one request."""

    status: int = 0
    reason: str = ""
    message: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    delay: float = 0.0
    cut: bool = False
    cut_after_commit: bool = False
    raw: bytes | None = None


FaultFn = Callable[[web.Request], Fault | None]


class FakeApi:
    """The server; `requests` counts (method, path, is_watch) as they come in."""

    def __init__(self) -> None:
        self.version = 100
        self.objects: dict[str, Obj] = {}
        self.history: list[tuple[int, str, str, Obj]] = []
        self.oldest = 0
        self.watch_list = True
        self.end_bookmark = True
        self.initial_limit: int | None = None
        self.kinds_missing: set[str] = set()
        self.fault: FaultFn = lambda _: None
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        self.writes = 0
        self.watching = 0
        self._watches: set[tuple[str, asyncio.Queue[bytes | None]]] = set()
        self._runner: web.AppRunner | None = None
        self.port = 0
        self.thawed = asyncio.Event()
        self.thawed.set()

    # -- life -------------------------------------------------------------------------------

    async def start(self) -> None:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.01)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        self.end_watches()
        if self._runner:
            await self._runner.cleanup()

    def api(self, **options: Any) -> Api:
        return Api(Configuration(host=f"http://127.0.0.1:{self.port}"), **options)

    # -- the world, as a test sees it -------------------------------------------------------

    def put(self, path: str, obj: Obj | None = None, **metadata: Any) -> Obj:
        """Create or replace an object by the path of its collection and its metadata."""
        obj = copy.deepcopy(obj or {})
        meta = obj.setdefault("metadata", {})
        meta.update(metadata)
        key = f"{path}/{meta['name']}"
        if "/namespaces/" in path:
            meta.setdefault("namespace", path.partition("/namespaces/")[2].partition("/")[0])
        self.version += 1
        old = self.objects.get(key)
        meta["resourceVersion"] = str(self.version)
        meta["uid"] = old["metadata"]["uid"] if old else f"uid-{self.version}"
        self.objects[key] = obj
        self._record("MODIFIED" if old else "ADDED", key, obj)
        return copy.deepcopy(obj)

    def remove(self, key: str) -> None:
        self.version += 1
        obj = copy.deepcopy(self.objects.pop(key))
        obj["metadata"]["resourceVersion"] = str(self.version)
        self._record("DELETED", key, obj)

    def get(self, key: str) -> Obj | None:
        return copy.deepcopy(self.objects.get(key))

    def count(self, **query: str) -> int:
        """Requests that had at least these query parameters."""
        return sum(query.items() <= seen.items() for _, _, seen in self.requests)

    def verbs(self) -> Counter[str]:
        return Counter(
            "WATCH" if query.get("watch") else method for method, _, query in self.requests
        )

    def _record(self, kind: str, key: str, obj: Obj) -> None:
        self.history.append((self.version, kind, key, copy.deepcopy(obj)))
        self.send({"type": kind, "object": obj}, key)

    # -- watches ----------------------------------------------------------------------------

    def send(self, event: Obj, key: str = "") -> None:
        self.send_raw(json.dumps(event).encode() + b"\n", key)

    def send_raw(self, data: bytes, key: str = "") -> None:
        for prefix, queue in self._watches:
            if _within(key, prefix) or not key:
                queue.put_nowait(data)

    def bookmark(self, version: int | None = None) -> None:
        meta = {"resourceVersion": str(version or self.version)}
        self.send({"type": "BOOKMARK", "object": {"metadata": meta}})

    def end_watches(self) -> None:
        """The server closes all watches in good order."""
        for _, queue in self._watches:
            queue.put_nowait(None)

    def expire(self) -> None:
        """Forget the history: watches from older versions get 410."""
        self.oldest = self.version

    @property
    def streams(self) -> int:
        """Open watches, those included that only stream the initial state."""
        return len(self._watches)

    # -- HTTP -------------------------------------------------------------------------------

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        path = "/" + request.match_info["path"]
        self.requests.append((request.method, path, dict(request.query)))
        fault = self.fault(request) or Fault()
        if fault.delay:
            await asyncio.sleep(fault.delay)
        await self.thawed.wait()
        if fault.cut:
            return _cut(request)
        if fault.raw is not None:
            return web.Response(body=fault.raw, status=fault.status or 200)
        if fault.status:
            return _status(fault.status, fault.reason, fault.message, fault.headers)
        answer = await self._serve(request, path)
        return _cut(request) if fault.cut_after_commit else answer

    async def _serve(self, request: web.Request, path: str) -> web.StreamResponse:
        if path.rsplit("/", 1)[-1] in self.kinds_missing:
            return _status(404, "NotFound", "the server could not find the requested resource")
        if request.query.get("watch"):
            return await self._watch(request, path)
        if request.method == "GET":
            return self._get(path, request)
        self.writes += 1
        return self._write(request, path, json.loads(await request.read() or b"{}"))

    def _write(self, request: web.Request, path: str, body: Obj) -> web.Response:
        if path.endswith(("/status", "/scale")):
            return self._change(path.rsplit("/", 1)[0], body)
        if request.method == "POST":
            return self._create(path, body)
        if path not in self.objects and request.headers["Content-Type"].endswith("yaml"):
            return self._create(path.rsplit("/", 1)[0], body)
        if request.method == "PATCH":
            return self._change(path, body)
        return self._delete(path, body)

    def _get(self, path: str, request: web.Request) -> web.Response:
        if path in self.objects:
            return web.json_response(self.objects[path])
        if not self._is_collection(path):
            return _status(404, "NotFound", f"{path} not found")
        found = [obj for key, obj in sorted(self.objects.items()) if _within(key, path)]
        start, version = 0, str(self.version)
        if token := request.query.get("continue"):
            start, version = int(token.split(":")[0]), token.split(":")[1]
            if int(version) < self.oldest:
                return _status(410, "Expired", "the continue token is too old")
        size = int(request.query.get("limit", len(found) or 1))
        meta = {"resourceVersion": version}
        if start + size < len(found):
            meta["continue"] = f"{start + size}:{version}"
        return web.json_response({"metadata": meta, "items": found[start : start + size]})

    def _is_collection(self, path: str) -> bool:
        parts = path.strip("/").split("/")
        tail = parts[2:] if parts[0] == "api" else parts[3:]
        return len(tail) == 1 or (tail[0] == "namespaces" and len(tail) == 3)

    def _create(self, path: str, body: Obj) -> web.Response:
        if f"{path}/{body['metadata']['name']}" in self.objects:
            return _status(409, "AlreadyExists", f"{body['metadata']['name']} already exists")
        return web.json_response(self.put(path, body), status=201)

    def _change(self, key: str, body: Obj) -> web.Response:
        if key not in self.objects:
            return _status(404, "NotFound", f"{key} not found")
        obj = copy.deepcopy(self.objects[key])
        for name in ("resourceVersion", "uid"):
            wanted = body.get("metadata", {}).get(name)
            if wanted and wanted != obj["metadata"][name]:
                return _status(409, "Conflict", f"{name} {wanted} is not current")
        _merge(obj, body)
        if obj == self.objects[key]:
            return web.json_response(obj)
        return web.json_response(self.put(key.rsplit("/", 1)[0], obj))

    def _delete(self, key: str, body: Obj) -> web.Response:
        if key not in self.objects:
            return _status(404, "NotFound", f"{key} not found")
        for name, wanted in (body.get("preconditions") or {}).items():
            if wanted != self.objects[key]["metadata"][name]:
                return _status(409, "Conflict", f"precondition {name} failed")
        self.remove(key)
        return web.json_response({"kind": "Status", "status": "Success"})

    async def _watch(self, request: web.Request, path: str) -> web.StreamResponse:
        version = int(request.query.get("resourceVersion") or 0)
        initial = request.query.get("sendInitialEvents") == "true"
        if initial and not self.watch_list:
            return _status(422, "Invalid", "sendInitialEvents is forbidden for watch")
        if not initial and version < self.oldest:
            return _status(410, "Expired", f"too old resource version: {version}")
        response = web.StreamResponse()
        await response.prepare(request)
        queue: asyncio.Queue[bytes | None] = asyncio.Queue()
        for event in self._backlog(path, version, initial):
            queue.put_nowait(json.dumps(event).encode() + b"\n")
        watch = (path, queue)
        self._watches.add(watch)
        self.watching += not initial
        try:
            while (data := await queue.get()) is not None:
                await response.write(data)
        finally:
            self._watches.discard(watch)
            self.watching -= not initial
        return response

    def _backlog(self, path: str, version: int, initial: bool) -> list[Obj]:
        if not initial:
            return [
                {"type": kind, "object": obj}
                for at, kind, key, obj in self.history
                if at > version and _within(key, path)
            ]
        found = [obj for key, obj in sorted(self.objects.items()) if _within(key, path)]
        events: list[Obj] = [
            {"type": "ADDED", "object": obj} for obj in found[: self.initial_limit]
        ]
        if self.end_bookmark:
            meta = {
                "resourceVersion": str(self.version),
                "annotations": {"k8s.io/initial-events-end": "true"},
            }
            events.append({"type": "BOOKMARK", "object": {"metadata": meta}})
        return events


def _within(key: str, path: str) -> bool:
    """Whether the object belongs to the collection; one without namespace spans all of them."""
    root, _, rest = key.partition("/namespaces/")
    everywhere = f"{root}/{rest.split('/', 1)[1]}" if "/" in rest else key
    return path in {key.rsplit("/", 1)[0], everywhere.rsplit("/", 1)[0]}


def _merge(target: Obj, patch: Obj) -> None:
    for name, value in patch.items():
        if value is None:
            target.pop(name, None)
        elif isinstance(value, dict) and isinstance(target.get(name), dict):
            _merge(target[name], value)
        else:
            target[name] = value


def _cut(request: web.Request) -> web.Response:
    if request.transport:
        request.transport.abort()
    return web.Response()


def _status(
    code: int, reason: str, message: str, headers: dict[str, str] | None = None
) -> web.Response:
    body = {"kind": "Status", "code": code, "reason": reason, "message": message, "details": {}}
    return web.json_response(body, status=code, headers=headers)

"""A cluster in memory: the part of the API server that the operator's writes meet.

Server-side apply, preconditions and ownership as measured on a real one, without time or
network, so that thousands of worlds can be tried. `trespasses` lists every write to an object
that its writer does not own.
"""

from __future__ import annotations

import copy
import itertools
from typing import Any

from llama_operator.api import labels
from llama_operator.reconcile import resources
from llama_operator.runtime.errors import AlreadyExists, Conflict, Invalid, NotFound
from llama_operator.runtime.resource import Resource

Object = dict[str, Any]
Id = tuple[str, str]
_NAMED = ("LlamaWeights", "LlamaDeployment")


class Memory:
    """Objects of one namespace by (kind, name), and the calls that change them."""

    def __init__(self, objects: list[Object] | None = None) -> None:
        self._numbers = itertools.count(1)
        self.objects: dict[Id, Object] = {}
        self.trespasses: list[str] = []
        self.writes = 0
        for obj in objects or []:
            self.put(obj)

    def put(self, obj: Object) -> Object:
        """Place an object, as somebody else would."""
        made = copy.deepcopy(obj)
        number = str(next(self._numbers))
        made["metadata"].setdefault("uid", f"uid-{number}")
        made["metadata"]["resourceVersion"] = number
        self.objects[(made["kind"], made["metadata"]["name"])] = made
        return made

    def owned_by(self, uid: str) -> list[Object]:
        """What has this controller, as the caches would show it."""
        return [obj for obj in self.objects.values() if uid in _owners(obj)]

    async def get(self, resource: Resource, _namespace: str | None, name: str) -> Object:
        """One object; raises NotFound."""
        found = self.objects.get((resource.kind, name))
        if found is None:
            raise NotFound(404, "NotFound", name)
        return found

    async def create(self, resource: Resource, obj: Object, *, manager: str = "") -> Object:  # noqa: ARG002
        """Create; raises AlreadyExists."""
        if (resource.kind, obj["metadata"]["name"]) in self.objects:
            raise AlreadyExists(409, "AlreadyExists", obj["metadata"]["name"])
        self.writes += 1
        return self.put(obj)

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
        """Server-side apply, with the answers of the real one to `metadata.uid` and versions."""
        made = self._apply(resource, obj, manager, force, create, subresource)
        partial = {"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata"}
        return {**partial, "metadata": made["metadata"]} if brief else made

    def _apply(
        self,
        resource: Resource,
        obj: Object,
        manager: str,
        force: bool,
        create: bool,
        subresource: str | None,
    ) -> Object:
        name, uid = obj["metadata"]["name"], obj["metadata"].get("uid")
        live = self.objects.get((resource.kind, name))
        if live is None:
            return self._first(resource, obj, uid, subresource)
        if uid and uid != live["metadata"]["uid"]:
            raise Invalid(422, "Invalid", "uid", {"causes": [{"field": "metadata.uid"}]})
        version = obj["metadata"].get("resourceVersion", "")
        if create or (version and version != live["metadata"]["resourceVersion"]):
            raise Conflict(409, "Conflict", "the object has been modified")
        if not force and live.get("spec") != obj.get("spec"):
            raise Conflict(409, "Conflict", "another manager")
        return self._second(live, obj, manager, subresource)

    def _first(
        self, resource: Resource, obj: Object, uid: str | None, subresource: str | None
    ) -> Object:
        if subresource:
            raise NotFound(404, "NotFound", "gone")
        if uid:
            raise Conflict(409, "Conflict", "uid of a dead object")
        self.writes += 1
        return self.put({**obj, "kind": resource.kind})

    def _second(self, live: Object, obj: Object, manager: str, subresource: str | None) -> Object:
        made = copy.deepcopy(live)
        if subresource == "status" and manager == labels.PROGRESS_MANAGER:
            made.get("status", {}).pop("progress", None)
        elif subresource == "status":
            progress = live.get("status", {}).get("progress")
            made["status"] = {**obj["status"], **({"progress": progress} if progress else {})}
        elif live["kind"] in _NAMED:
            made["metadata"]["finalizers"] = obj["metadata"].get("finalizers", [])
        else:
            self._check_owner(live, obj)
            if live["kind"] == "ResourceClaimTemplate" and live["spec"] != obj["spec"]:
                raise Invalid(422, "Invalid", "spec: field is immutable")
            made |= {key: value for key, value in obj.items() if key != "metadata"}
            made["metadata"] = {**live["metadata"], **obj["metadata"]}
            made["metadata"]["resourceVersion"] = live["metadata"]["resourceVersion"]
        if made == live:
            return live
        self.writes += 1
        return self.put(made)

    def _check_owner(self, live: Object, obj: Object) -> None:
        if not _owners(live) & _owners(obj):
            self.trespasses.append(f"apply {live['kind']} {live['metadata']['name']}")

    async def delete(
        self,
        resource: Resource,
        _namespace: str | None,
        name: str,
        *,
        uid: str | None = None,
        resource_version: str | None = None,
        grace_seconds: int | None = None,  # noqa: ARG002
    ) -> None:
        """Delete; Conflict for another UID or version. What it controls goes with it."""
        live = self.objects.get((resource.kind, name))
        if live is None:
            raise NotFound(404, "NotFound", name)
        if uid != live["metadata"]["uid"]:
            raise Conflict(409, "Conflict", "another uid")
        if resource_version and resource_version != live["metadata"]["resourceVersion"]:
            raise Conflict(409, "Conflict", "another version")
        if live["kind"] not in _NAMED and not _owners(live):
            self.trespasses.append(f"delete {live['kind']} {name}")
        self.writes += 1
        if live["metadata"].get("finalizers"):
            live["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
            return
        del self.objects[(resource.kind, name)]
        for child in self.owned_by(live["metadata"]["uid"]):
            del self.objects[(child["kind"], child["metadata"]["name"])]

    async def patch(
        self,
        resource: Resource,
        _namespace: str | None,
        name: str,
        patch: Any,
        *,
        kind: str = "merge",
        manager: str = "",  # noqa: ARG002
    ) -> Object:
        """A JSON patch that removes one finalizer, or a merge patch of metadata."""
        live = copy.deepcopy(await self.get(resource, None, name))
        if kind == "merge":
            return self._merge(live, patch["metadata"])
        index = int(patch[-1]["path"].rsplit("/", 1)[1])
        if live["metadata"]["finalizers"][index] != patch[-2]["value"]:
            raise Invalid(422, "Invalid", "test failed")
        del live["metadata"]["finalizers"][index]
        self.writes += 1
        return self.put(live)

    def _merge(self, live: Object, wanted: Object) -> Object:
        meta = live["metadata"]
        if wanted["uid"] != meta["uid"]:
            raise Conflict(409, "Conflict", "uid")
        for part in ("labels", "annotations"):
            merged = {**meta.get(part, {}), **wanted.get(part, {})}
            meta[part] = {key: value for key, value in merged.items() if value is not None}
        self.writes += 1
        return self.put(live)

    def picture(self) -> Object:
        """Everything that counts: without versions, UIDs and the random key."""
        return {f"{kind}/{name}": _plain(obj) for (kind, name), obj in sorted(self.objects.items())}


def _owners(obj: Object) -> set[str]:
    references = obj["metadata"].get("ownerReferences", ())
    return {ref["uid"] for ref in references if ref.get("controller")}


def _plain(obj: Object) -> Object:
    plain = copy.deepcopy(obj)
    plain.pop("stringData", None)
    for name in ("uid", "resourceVersion"):
        plain["metadata"].pop(name, None)
    for reference in plain["metadata"].get("ownerReferences", ()):
        del reference["uid"]
    annotations = plain["metadata"].get("annotations", {})
    annotations.pop(labels.INTENT_HASH, None)  # of the owner's UID as well
    return plain


def resource_of(kind: str) -> Resource:
    """The resource of a kind that the operator writes."""
    return resources.BY_KIND[kind]

"""Carries out actions, and turns a refusal of the API server into words for a condition.

A child that is not in the cache is written only where the name is free: the caches hold only what
carries our label, and a stranger's object of the same name must not be taken over. A child that is
in the cache is written only in the version that was seen there: a decision that is out of date,
that of a leader that was paused beyond its lease as well, changes nothing.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from typing import Any

from llama_operator.api import labels
from llama_operator.api.v1alpha1 import GROUP, VERSION
from llama_operator.diagnose import queues
from llama_operator.reconcile import resources
from llama_operator.reconcile.actions import (
    LEFTOVER_RETRY_SECONDS,
    Action,
    Apply,
    ClearProgress,
    CreateKey,
    CreateWeights,
    Delete,
    Failure,
    Label,
    SetFinalizer,
)
from llama_operator.reconcile.ownership import outdated, owned
from llama_operator.reconcile.reading import present
from llama_operator.reconcile.snapshot import SecretView
from llama_operator.render.inputs import Owner
from llama_operator.render.secret import api_key_secret
from llama_operator.runtime.api import Api
from llama_operator.runtime.errors import (
    AlreadyExists,
    ApiError,
    BadRequest,
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
)

Object = dict[str, Any]
Write = Callable[[Object, Awaitable[Object]], Awaitable[Object]]
FINALIZER_MANAGER = "llama-operator-finalizer"
_ADDRESS = re.compile(r"0x[0-9a-f]+")
_LIMIT = 1000


async def told(_child: Object, write: Awaitable[Object]) -> Object:
    """The answer to a write of a child that the watch then tells of, as of any other change."""
    return await write


class Applier:
    """Carries out the actions of one owner, in order, and stops at the first refusal.

    `write` waits for the answer to a write of a child.
    """

    def __init__(self, api: Api, owner: Owner, write: Write = told) -> None:
        self._api = api
        self._owner = owner
        self._answer = write
        # Children as they were written, under the metadata that the server has answered.
        self.made: list[Object] = []
        # The Secret of a key that was made.
        self.key: SecretView | None = None

    async def run(self, actions: Iterable[Action]) -> Failure | None:
        """Carry out all actions; the first refusal ends the run and is returned.

        Raises ApiError for what a retry may cure (conflicts, a server that fails).
        """
        for action in actions:
            failure = await self._one(action)
            if failure is not None:
                return failure
        return None

    async def _one(self, action: Action) -> Failure | None:
        try:
            match action:
                case Apply():
                    return await self._apply(action)
                case CreateKey():
                    return await self._create_key(action)
                case CreateWeights():
                    await self._create_weights(action)
                case Delete():
                    await self._delete(action)
                case Label():
                    await self._label(action)
                case SetFinalizer():
                    await self._set_finalizer(action)
                case ClearProgress():
                    await self._clear_progress(action)
        except (Forbidden, Invalid, BadRequest) as refusal:
            if any(cause.get("field") == "metadata.uid" for cause in refusal.causes):
                raise Conflict(409, "Conflict", refusal.message) from refusal
            failure = _refusal(refusal)
            return _by_queue(failure, action.obj) if isinstance(action, Apply) else failure
        return None

    async def _apply(self, action: Apply) -> Failure | None:
        if action.known:
            await self._write(action.obj, uid=action.uid, resourceVersion=action.version)
            return None
        try:
            await self._write(action.obj, create=True)
        except Conflict:
            return await self._taken(action.obj)
        return None

    async def _taken(self, obj: Object) -> Failure | None:
        """The name is taken: by a stranger, or by us and the cache does not show it yet."""
        meta = obj["metadata"]
        live = await present(
            self._api, resources.BY_KIND[obj["kind"]], meta["namespace"], meta["name"]
        )
        if live is None:
            # Without force, whoever takes the name before us keeps it: the conflict is seen to later.
            await self._write(obj, force=False)
        elif not owned(live, self._owner.uid):
            return self._not_owned(live, obj["kind"], meta["name"])
        elif obj["kind"] == "ControllerRevision":
            _expect_same(obj, live)
        elif outdated(obj, live):
            found = live["metadata"]
            await self._write(obj, uid=found["uid"], resourceVersion=found["resourceVersion"])
        return None

    async def _write(
        self, obj: Object, *, force: bool = True, create: bool = False, **conditions: str
    ) -> None:
        met = {name: value for name, value in conditions.items() if value}
        body = {**obj, "metadata": {**obj["metadata"], **met}}
        resource, manager = resources.BY_KIND[obj["kind"]], labels.OPERATOR_MANAGER
        writing = self._api.apply(
            resource, body, manager=manager, force=force, create=create, brief=True
        )
        made = await self._answer(obj, writing)
        self.made.append({**obj, "metadata": made["metadata"]})

    def _not_owned(self, live: dict[str, Any], kind: str, name: str) -> Failure:
        if _of_predecessor(live, self._owner):
            return Failure(
                "ObjectNotOwned",
                f"{kind} {name} belongs to a deleted {self._owner.kind} of the same name; its "
                "removal is waited for",
                LEFTOVER_RETRY_SECONDS,
            )
        return _not_owned(kind, name)

    async def _create_key(self, action: CreateKey) -> Failure | None:
        obj = api_key_secret(self._owner, f"sk-{secrets.token_urlsafe(32)}")
        try:
            made = await self._api.create(resources.SECRETS, obj, manager=labels.OPERATOR_MANAGER)
            self.key = SecretView.of(made)
        except AlreadyExists as taken:
            live = await present(self._api, resources.SECRETS, self._owner.namespace, action.name)
            if live is not None and not owned(live, self._owner.uid):
                return self._not_owned(live, "Secret", action.name)
            # A new deployment's is not looked at before; what is in it counts as well.
            raise Conflict(409, "Conflict", taken.message) from taken
        return None

    async def _create_weights(self, action: CreateWeights) -> None:
        # Several deployments may ask at once for the same copy: the first one makes it.
        try:
            await self._api.create(resources.WEIGHTS, action.obj, manager=labels.OPERATOR_MANAGER)
        except AlreadyExists:
            return

    async def _delete(self, action: Delete) -> None:
        resource = resources.BY_KIND[action.kind]
        try:
            await self._api.delete(
                resource,
                action.namespace,
                action.name,
                uid=action.uid,
                resource_version=action.version or None,
                grace_seconds=action.grace_seconds,
            )
        except NotFound:
            return  # gone; a conflict is of another than the one that was looked at: look again

    async def _label(self, action: Label) -> None:
        note = {labels.LABELLED: action.keys}
        meta = {"uid": action.uid, "labels": dict(action.labels), "annotations": note}
        try:
            await self._api.patch(
                resources.PODS, action.namespace, action.name, {"metadata": meta},
                manager=labels.OPERATOR_MANAGER,
            )  # fmt: skip
        except NotFound:
            return

    async def _set_finalizer(self, action: SetFinalizer) -> None:
        meta: dict[str, Any] = {
            "name": action.name,
            "namespace": action.namespace,
            "uid": action.uid,
        }
        if action.present:
            meta["finalizers"] = [labels.FINALIZER]
        obj = {"apiVersion": f"{GROUP}/{VERSION}", "kind": "LlamaWeights", "metadata": meta}
        try:
            made = await self._api.apply(resources.WEIGHTS, obj, manager=FINALIZER_MANAGER)
            if not action.present:
                await self._take_off(made)
        except NotFound:
            return  # gone already; a conflict may be of one that is gone, or of nothing that lasts

    async def _take_off(self, raw: dict[str, Any]) -> None:
        # A backup that was restored, or an edit, holds the finalizer under another field manager.
        meta = raw["metadata"]
        if labels.FINALIZER not in meta.get("finalizers", ()):
            return
        path = f"/metadata/finalizers/{meta['finalizers'].index(labels.FINALIZER)}"
        patch = [
            {"op": "test", "path": "/metadata/uid", "value": meta["uid"]},
            {"op": "test", "path": path, "value": labels.FINALIZER},
            {"op": "remove", "path": path},
        ]
        await self._api.patch(
            resources.WEIGHTS, meta["namespace"], meta["name"], patch, kind="json"
        )

    async def _clear_progress(self, action: ClearProgress) -> None:
        obj = {
            "apiVersion": f"{GROUP}/{VERSION}",
            "kind": "LlamaWeights",
            "metadata": {"name": action.name, "namespace": action.namespace},
        }
        await self._api.apply(
            resources.WEIGHTS, obj, manager=labels.PROGRESS_MANAGER, subresource="status"
        )


def _expect_same(made: Object, kept: Object) -> None:
    """What was written down stands; a decision that would have it otherwise has not seen it.

    Raises Conflict, which is retried with what the cache shows by then.
    """
    if made["data"] != kept.get("data"):
        name = made["metadata"]["name"]
        raise Conflict(409, "Conflict", f"ControllerRevision {name} was written down already")


def _not_owned(kind: str, name: str) -> Failure:
    return Failure(
        "ObjectNotOwned",
        f"{kind} {name} exists and is not ours; it is left alone. Remove it, or choose another name",
    )


def _of_predecessor(live: dict[str, Any], owner: Owner) -> bool:
    references = live["metadata"].get("ownerReferences", ())
    return any(
        (ref.get("kind"), ref.get("name")) == (owner.kind, owner.name) and ref.get("controller")
        for ref in references
    )


def _refusal(refusal: ApiError) -> Failure:
    quota = "exceeded quota" in refusal.message
    # An immutable field is told with a dump of the object, addresses in memory and all.
    text = _ADDRESS.sub("0x", refusal.message)[:_LIMIT]
    return Failure("QuotaExceeded" if quota else "AdmissionRefused", text)


def _by_queue(failure: Failure, obj: Object) -> Failure:
    """With the way on, where Kueue has refused a change of what runs."""
    advice = queues.refused(failure.message, obj)
    return replace(failure, message=f"{failure.message}. {advice}") if advice else failure

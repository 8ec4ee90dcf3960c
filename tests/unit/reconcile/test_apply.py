"""Writes against a cluster that changes between the look and the write."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.support.builders import weights
from tests.support.memory import Memory, resource_of

from llama_operator.api import labels
from llama_operator.reconcile.actions import (
    LEFTOVER_RETRY_SECONDS,
    Apply,
    CreateKey,
    Delete,
    Failure,
    SetFinalizer,
)
from llama_operator.reconcile.apply import Applier
from llama_operator.render.inputs import Owner
from llama_operator.render.meta import metadata, stamped
from llama_operator.runtime.errors import BadRequest, Conflict, Invalid, ServerError
from llama_operator.runtime.resource import Resource

Object = dict[str, Any]
OWNER = Owner("LlamaDeployment", "default", "web", "uid-web")


def service(owner: Owner = OWNER, port: int = 8000) -> Object:
    meta = metadata(owner, "web", "server")
    return {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": {"port": port}}


def strangers(port: int = 1) -> Object:
    meta = {"name": "web", "namespace": "default"}
    return {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": {"port": port}}


def run(memory: Any, *actions: Any) -> Failure | None:
    return asyncio.run(Applier(memory, OWNER).run(actions))


class Picky(Memory):
    """A server that makes no object that comes with a version; somebody else makes one."""

    async def apply(self, resource: Resource, obj: Object, **options: Any) -> Object:
        if options.get("create"):
            raise Conflict(409, "Conflict", "the object has been modified")
        return await super().apply(resource, obj, **options)


class Racing(Picky):
    async def get(self, resource: Resource, _namespace: str | None, name: str) -> Object:
        try:
            return await super().get(resource, _namespace, name)
        finally:
            if ("Service", "web") not in self.objects:
                self.put(strangers())


class Failing(Memory):
    """Every apply is answered with an error."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    async def apply(self, *_: Any, **__: Any) -> Object:
        raise self.error


def test_a_name_taken_between_the_look_and_the_write_stays_the_others() -> None:
    memory = Racing()
    with pytest.raises(Conflict):
        run(memory, Apply(service()))
    assert memory.objects[("Service", "web")]["spec"] == {"port": 1}
    failure = run(memory, Apply(service()))
    assert failure is not None
    assert failure.reason == "ObjectNotOwned"
    assert memory.trespasses == []


def test_a_free_name_is_taken_with_one_request_on_any_server() -> None:
    for memory in (Memory(), Picky()):
        assert run(memory, Apply(service())) is None
        assert memory.objects[("Service", "web")]["spec"] == {"port": 8000}
        assert memory.writes == 1


def test_a_child_that_was_written_since_is_left_for_the_next_look() -> None:
    """As by the next leader, while this one was paused beyond its lease."""
    memory = Memory([service(port=1)])
    seen = memory.objects[("Service", "web")]["metadata"]
    memory.put({**memory.objects[("Service", "web")], "spec": {"port": 2}})
    stale = Apply(service(), known=True, uid=seen["uid"], version=seen["resourceVersion"])
    with pytest.raises(Conflict):
        run(memory, stale)
    assert memory.objects[("Service", "web")]["spec"] == {"port": 2}


def test_our_own_child_that_the_cache_does_not_show_yet_is_not_written_again() -> None:
    memory = Memory([stamped(service())])
    assert run(memory, Apply(stamped(service()))) is None
    assert memory.writes == 0


def revision(number: int = 1, template: str = "a") -> Object:
    meta = metadata(OWNER, "web-1", "revision")
    obj: Object = {"apiVersion": "apps/v1", "kind": "ControllerRevision", "metadata": meta}
    return stamped({**obj, "revision": number, "data": {"template": template}})


def test_what_was_written_down_stands_whatever_a_late_decision_says() -> None:
    memory = Memory([revision()])
    assert run(memory, Apply(revision(number=2))) is None
    with pytest.raises(Conflict):
        run(memory, Apply(revision(template="b")))
    assert memory.objects[("ControllerRevision", "web-1")]["data"] == {"template": "a"}
    assert memory.writes == 0


def test_a_namesake_of_a_cached_child_is_not_written_to() -> None:
    memory = Memory([strangers()])
    with pytest.raises(Conflict):
        run(memory, Apply(service(), known=True, uid="uid-of-the-dead"))
    assert memory.trespasses == []


def test_a_cached_child_that_is_gone_is_not_resurrected_blindly() -> None:
    memory = Memory()
    with pytest.raises(Conflict):
        run(memory, Apply(service(), known=True, uid="uid-of-the-dead"))
    assert memory.objects == {}


def test_our_own_child_outside_the_cache_is_written_to() -> None:
    memory = Memory([stamped(service(port=1))])
    assert run(memory, Apply(stamped(service()))) is None
    assert memory.objects[("Service", "web")]["spec"] == {"port": 8000}


def test_what_a_namesake_left_behind_is_waited_for_and_not_called_a_strangers() -> None:
    before = Owner("LlamaDeployment", "default", "web", "uid-before")
    memory = Memory([service(before)])
    failure = run(memory, Apply(service()))
    assert failure is not None
    assert failure.reason == "ObjectNotOwned"
    assert "deleted LlamaDeployment of the same name" in failure.message
    assert failure.retry_seconds == LEFTOVER_RETRY_SECONDS


def test_a_key_is_made_once() -> None:
    memory = Memory()
    assert run(memory, CreateKey("web-api-key")) is None
    first = memory.objects[("Secret", "web-api-key")]["stringData"]["default"]
    with pytest.raises(Conflict):  # so it is looked at: one without an entry serves nobody
        run(memory, CreateKey("web-api-key"))
    assert memory.objects[("Secret", "web-api-key")]["stringData"]["default"] == first


def test_only_the_very_object_is_deleted() -> None:
    memory = Memory([service()])
    with pytest.raises(Conflict):  # so it is looked at again
        run(memory, Delete("Service", "default", "web", "uid-of-the-dead"))
    assert ("Service", "web") in memory.objects


def test_a_finalizer_that_another_manager_holds_comes_off() -> None:
    class Restored(Memory):
        async def apply(self, resource: Resource, obj: Object, **_: Any) -> Object:
            return await self.get(resource, None, obj["metadata"]["name"])

    memory = Restored([weights(meta={"finalizers": ["other/one", labels.FINALIZER]})])
    off = SetFinalizer("default", "w", "uid-w", present=False)
    assert run(memory, off) is None
    live = asyncio.run(memory.get(resource_of("LlamaWeights"), None, "w"))
    assert live["metadata"]["finalizers"] == ["other/one"]


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (Invalid(422, "Invalid", "spec.x: no"), "AdmissionRefused"),
        (BadRequest(400, "BadRequest", "strict decoding error"), "AdmissionRefused"),
        (Invalid(403, "Forbidden", "exceeded quota: q"), "QuotaExceeded"),
    ],
)
def test_a_refusal_becomes_a_condition(error: Exception, reason: str) -> None:
    failure = run(Failing(error), Apply(service()))
    assert failure is not None
    assert failure.reason == reason


def test_a_refusal_holds_no_addresses_and_no_book() -> None:
    def told(address: str) -> Failure | None:
        dump = f"PodTemplateSpec{{(*int64)({address})}} " + "x" * 5000
        return run(Failing(Invalid(422, "Invalid", dump)), Apply(service()))

    assert told("0xc000123450") == told("0xc000999990")
    found = told("0xc000123450")
    assert found is not None
    assert len(found.message) <= 1000


def test_a_server_that_fails_is_no_refusal() -> None:
    with pytest.raises(ServerError):
        run(Failing(ServerError(500, "InternalError", "webhook")), Apply(service()))

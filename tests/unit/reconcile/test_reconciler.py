"""One status write per reconcile, and none against a status that is not the latest."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from tests.support.builders import DIGEST, deployment, ready_weights
from tests.support.memory import Memory, resource_of

from llama_operator.api import labels
from llama_operator.reconcile.actions import CreateKey
from llama_operator.reconcile.caches import Caches
from llama_operator.reconcile.reconciler import (
    Outcome,
    StatusWriter,
    WeightsReconciler,
    carried_out,
)
from llama_operator.reconcile.snapshot import owner_of
from llama_operator.runtime.errors import Conflict, ServerError
from llama_operator.runtime.resource import Key
from llama_operator.runtime.store import Store

Object = dict[str, Any]
GOOD: Object = {"conditions": [{"type": "Ready", "status": "True"}]}
BAD: Object = {"conditions": [{"type": "Ready", "status": "False"}]}


class Silent:
    def transitions(self, raw: Object, old: list[Object], new: list[Object]) -> None:
        pass


def writer(memory: Memory, cache: Store | None = None) -> StatusWriter:
    """Beside a cache that shows what there is now, and hears of nothing later."""
    if cache is None:
        cache = Store()
        cache.put(memory.objects[("LlamaDeployment", "web")])
    return StatusWriter(memory, resource_of("LlamaDeployment"), Silent(), cache)  # type: ignore[arg-type]


def test_a_status_that_went_there_and_back_is_written_though_the_cache_lags() -> None:
    memory = Memory([deployment(status=BAD)])
    cached = memory.objects[("LlamaDeployment", "web")]
    status = writer(memory)
    asyncio.run(status.write(cached, GOOD))
    asyncio.run(status.write(status.latest(cached), BAD))
    assert memory.objects[("LlamaDeployment", "web")]["status"] == BAD


def test_the_cache_is_believed_as_soon_as_it_has_caught_up() -> None:
    memory = Memory([deployment(status=BAD)])
    cached = memory.objects[("LlamaDeployment", "web")]
    status = writer(memory)
    asyncio.run(status.write(cached, GOOD))
    assert status.latest(cached)["status"] == GOOD
    seen = memory.put({**cached, "status": BAD})  # by somebody else, later
    assert status.latest(seen)["status"] == BAD
    assert status.latest(cached)["status"] == BAD, "what is not needed is not kept"


def test_what_the_cache_shows_is_not_kept_besides() -> None:
    memory, cache = Memory([deployment(status=BAD)]), Store()
    cached = memory.objects[("LlamaDeployment", "web")]
    cache.put(cached)
    status = writer(memory, cache)
    asyncio.run(status.write(cached, GOOD))
    status.seen("update", cached, cached)  # of an older change: the cache lags still
    assert status.latest(cached)["status"] == GOOD
    cache.put(memory.objects[("LlamaDeployment", "web")])
    status.seen("update", cached, memory.objects[("LlamaDeployment", "web")])
    assert status.latest(cached)["status"] == BAD, "it is asked of the cache again"


def test_a_watch_that_is_faster_than_the_answer_leaves_nothing_behind() -> None:
    memory, cache = Memory([deployment(status=BAD)]), Store()
    cached = memory.objects[("LlamaDeployment", "web")]
    newer = {**cached, "metadata": {**cached["metadata"], "resourceVersion": "999999"}}
    cache.put(newer)
    status = writer(memory, cache)
    asyncio.run(status.write(cached, GOOD))
    assert status.latest(cached)["status"] == BAD


def test_a_deployment_that_is_gone_is_forgotten() -> None:
    memory, cache = Memory([deployment(status=BAD)]), Store()
    cached = memory.objects[("LlamaDeployment", "web")]
    cache.put(cached)
    status = writer(memory, cache)
    asyncio.run(status.write(cached, GOOD))
    cache.remove(Key("default", "web"))
    status.seen("delete", cached, None)
    assert status.latest(cached)["status"] == BAD


def test_a_status_of_the_past_is_refused() -> None:
    """As from a leader that was paused beyond its lease: nothing would tell the next one of it."""
    memory = Memory([deployment(status=BAD)])
    cached = memory.objects[("LlamaDeployment", "web")]
    old, new = writer(memory), writer(memory)
    asyncio.run(new.write(cached, GOOD))
    with pytest.raises(Conflict):
        asyncio.run(old.write(cached, {**BAD, "replicas": 7}))
    assert memory.objects[("LlamaDeployment", "web")]["status"] == GOOD


def test_another_writers_field_is_the_caches() -> None:
    memory = Memory([deployment(status=BAD)])
    cached = memory.objects[("LlamaDeployment", "web")]
    status = writer(memory)
    asyncio.run(status.write(cached, GOOD, ("progress",)))
    moving = {**cached, "status": {**BAD, "progress": {"bytesDone": 7}}}
    assert status.latest(moving)["status"] == {**GOOD, "progress": {"bytesDone": 7}}


def test_a_namesake_inherits_nothing() -> None:
    memory = Memory([deployment(status=BAD)])
    cached = memory.objects[("LlamaDeployment", "web")]
    status = writer(memory)
    asyncio.run(status.write(cached, GOOD))
    other = {**cached, "metadata": {**cached["metadata"], "uid": "uid-next"}}
    assert status.latest(other)["status"] == BAD


def test_a_status_is_written_though_the_server_failed_and_the_error_comes_after() -> None:
    error = ServerError(500, "InternalError", "failed calling webhook")

    class Failing(Memory):
        async def create(self, *_: Any, **__: Any) -> Object:
            raise error

    owner = owner_of(deployment())
    outcome = asyncio.run(carried_out(Failing(), owner, [CreateKey("k")]))  # type: ignore[arg-type]
    assert outcome == Outcome(error=error)
    with pytest.raises(ServerError):
        outcome.result(None)


def test_a_conflict_is_decided_anew_at_once() -> None:
    class Changed(Memory):
        async def create(self, *_: Any, **__: Any) -> Object:
            raise Conflict(409, "Conflict", "changed")

    with pytest.raises(Conflict):
        asyncio.run(carried_out(Changed(), owner_of(deployment()), [CreateKey("k")]))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("digest", "used", "held"), [(DIGEST, True, True), (DIGEST, False, False), ("", True, False)]
)
def test_a_deleted_copy_is_held_only_while_it_can_serve_somebody(
    digest: str, used: bool, held: bool
) -> None:
    raw = ready_weights(deployment())
    dying = {"deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": [labels.FINALIZER]}
    raw["metadata"] |= dying
    raw["status"]["digest"] = digest
    memory = Memory([raw])
    caches = Caches(SimpleNamespace(clock=None))  # type: ignore[arg-type]
    caches.weights.store.put(next(iter(memory.objects.values())))
    if used:
        caches.deployments.store.put(deployment())
    reconciler = WeightsReconciler(memory, caches, None, Silent(), None)  # type: ignore[arg-type]
    asyncio.run(reconciler(Key("default", raw["metadata"]["name"])))
    live = next(iter(memory.objects.values()))
    assert (live["metadata"]["finalizers"] == [labels.FINALIZER]) is held

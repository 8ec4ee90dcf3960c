"""A Secret with keys that was made or read a moment ago is not asked for; any other is, and later."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from tests.support.builders import deployment, ready_weights, world
from tests.support.memory import Memory
from tests.unit.runtime.fake_api import FakeApi

from llama_operator.api.v1alpha1 import LlamaDeploymentSpec
from llama_operator.reconcile import keys
from llama_operator.reconcile.actions import CreateKey
from llama_operator.reconcile.caches import Caches
from llama_operator.reconcile.gather import Gatherer
from llama_operator.reconcile.keys import Keys
from llama_operator.reconcile.reconciler import carried_out
from llama_operator.reconcile.snapshot import SecretView
from llama_operator.render.inputs import Owner
from llama_operator.runtime import Api
from llama_operator.runtime.clock import FakeClock

OWNER = Owner("LlamaDeployment", "default", "web", "uid-web")
SECRETS = "/api/v1/namespaces/default/secrets/web-api-key"
MADE = SecretView("web-api-key", True, frozenset({"default"}), frozenset({"uid-web"}))


def put(server: FakeApi) -> None:
    owner = {"kind": "LlamaDeployment", "name": "web", "uid": "uid-web"}
    server.put(
        SECRETS.rpartition("/")[0],
        {"data": {"default": "c2s="}},
        name=MADE.name,
        ownerReferences=[owner],
    )


def reads(server: FakeApi) -> int:
    return sum(path == SECRETS for _, path, _ in server.requests)


async def looked(api: Api, made: SecretView | None = None) -> SecretView | None:
    caches, env = Caches(api), world()
    raw = deployment(status={"conditions": []})
    caches.weights.store.put({**ready_weights(raw)})
    gatherer = Gatherer(api, caches, env.catalog, env.settings, api.clock)
    if made is not None:
        gatherer.keys.made(raw["metadata"]["uid"], made)
    return (await gatherer.deployment(raw)).key


async def test_one_that_was_just_made_is_not_asked_for(api: Api, server: FakeApi) -> None:
    assert await looked(api, MADE) == MADE
    assert reads(server) == 0


async def test_later_it_is(api: Api, server: FakeApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "MADE_SECONDS", 0.0)
    assert await looked(api, MADE) == SecretView("web-api-key"), "somebody has removed it"
    assert reads(server) == 1


async def test_another_ones_says_nothing(api: Api, server: FakeApi) -> None:
    assert await looked(api, SecretView("other", True)) == SecretView("web-api-key")
    assert reads(server) == 1


async def twice(api: Api, seconds: float) -> list[SecretView | None]:
    clock = FakeClock()
    found = Keys(api, clock)
    raw = deployment(status={"conditions": []})
    spec = LlamaDeploymentSpec.model_validate(raw["spec"])
    first = await found.of(raw, spec)
    clock.advance(seconds)
    return [first, await found.of(raw, spec)]


async def test_a_retry_does_not_ask_again(api: Api, server: FakeApi) -> None:
    put(server)
    assert await twice(api, 0.9) == [replace(MADE, owner_names=frozenset({"web"}))] * 2
    assert reads(server) == 1


async def test_a_second_later_it_does(api: Api, server: FakeApi) -> None:
    put(server)
    await twice(api, 1.1)
    assert reads(server) == 2


async def test_one_that_is_missing_is_looked_for_each_time(api: Api, server: FakeApi) -> None:
    assert await twice(api, 0.0) == [SecretView("web-api-key")] * 2
    assert reads(server) == 2


def test_who_makes_one_knows_it_and_who_does_not_make_it_does_not() -> None:
    memory, create = Memory(), CreateKey("web-api-key")
    outcome = asyncio.run(carried_out(memory, OWNER, [create]))  # type: ignore[arg-type]
    assert outcome.key is not None
    assert (outcome.key.name, outcome.key.exists) == ("web-api-key", True)
    assert outcome.key.owner_uids == {OWNER.uid}
    assert asyncio.run(carried_out(memory, OWNER, [])).key is None  # type: ignore[arg-type]

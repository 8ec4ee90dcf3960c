"""What an operator writes itself is cached like all else, and brings about no other pass."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from tests.unit.runtime.helpers import THINGS
from tests.unit.runtime.test_informer import Log

from llama_operator.runtime import Api, Informer, Key, Object, TransportError


def thing(version: int, **spec: Any) -> Object:
    meta = {"namespace": "ns", "name": "a", "uid": "u", "resourceVersion": str(version)}
    return {"kind": "Thing", "metadata": meta, "spec": spec}


def made(api: Api) -> tuple[Informer, Log]:
    informer, seen = Informer(api, THINGS), Log()
    informer.add_handler(seen)
    return informer, seen


KEY = Key("ns", "a")


def answer(result: Object | Exception, *meanwhile: Callable[[], object]) -> Awaitable[Object]:
    """A write whose answer comes after something else has happened."""

    async def write() -> Object:
        for happens in meanwhile:
            happens()
        if isinstance(result, Exception):
            raise result
        return result

    return write()


async def test_a_write_of_our_own_is_cached_but_not_told(api: Api) -> None:
    informer, seen = made(api)
    first = await informer.own(KEY, answer(thing(5), lambda: informer.upsert(thing(5))))
    assert first == thing(5)
    await informer.own(KEY, answer(thing(7)))
    assert informer.store.get(*KEY) == thing(5), "only the watch shows what there is"
    informer.upsert(thing(7))
    assert informer.store.get(*KEY) == thing(7)
    assert seen.events == []


async def test_what_others_do_to_an_object_is_told_as_ever(api: Api) -> None:
    informer, seen = made(api)
    later = [lambda: informer.upsert(thing(5)), lambda: informer.upsert(thing(6))]
    await informer.own(KEY, answer(thing(5), *later))
    assert seen.events == [("update", "a")]
    await informer.own(KEY, answer(thing(9), lambda: informer.upsert(thing(8))))
    assert seen.events == [("update", "a")] * 2
    informer.upsert(thing(9))
    assert seen.events == [("update", "a")] * 2
    informer.upsert(thing(10))
    informer.discard(thing(11))
    assert seen.events == [("update", "a")] * 3 + [("delete", "a")]


async def test_a_deletion_while_it_is_written_is_told(api: Api) -> None:
    informer, seen = made(api)
    both = [lambda: informer.upsert(thing(5)), lambda: informer.discard(thing(6))]
    await informer.own(KEY, answer(thing(5), *both))
    assert seen.events == [("delete", "a")]
    informer.upsert(thing(5))
    assert seen.events == [("delete", "a"), ("add", "a")], "each version is left out once"


async def test_a_version_that_never_came_by_itself_leaves_nothing_else_out(api: Api) -> None:
    informer, seen = made(api)
    await informer.own(KEY, answer(thing(5)))
    informer.upsert(thing(6))
    informer.discard(thing(7))
    assert seen.events == [("add", "a"), ("delete", "a")]


async def test_a_write_that_changes_nothing_leaves_nothing_out(api: Api) -> None:
    informer, seen = made(api)
    informer.upsert(thing(5))
    await informer.own(KEY, answer(thing(5)))
    informer.discard(thing(6))
    informer.upsert(thing(5))
    assert seen.events == [("add", "a"), ("delete", "a"), ("add", "a")]


async def test_a_write_whose_answer_is_lost_is_told(api: Api) -> None:
    informer, seen = made(api)
    lost = TransportError("lost")
    with pytest.raises(TransportError):
        await informer.own(KEY, answer(lost, lambda: informer.upsert(thing(5))))
    assert seen.events == [("add", "a")]
    informer.upsert(thing(6))
    assert seen.events == [("add", "a"), ("update", "a")]


async def test_two_writes_of_one_object_at_once_leave_out_one(api: Api) -> None:
    informer, seen = made(api)

    async def twice() -> Object:
        return await informer.own(KEY, answer(thing(5), lambda: informer.upsert(thing(5))))

    assert await informer.own(KEY, answer_of(twice, thing(6))) == thing(6)
    informer.upsert(thing(6))
    assert seen.events == [("add", "a")]


def answer_of(before: Callable[[], Awaitable[object]], result: Object) -> Awaitable[Object]:
    async def write() -> Object:
        await before()
        return result

    return write()

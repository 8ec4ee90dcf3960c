"""What can happen to the calls of a life: failures by number, deaths by number, broken streams."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Callable

from tests.support.chaos.life import Fate, Life
from tests.support.chaos.proxy import BrokenStream, Call, Fault, Plan, Stream, status_object

FAULTS: dict[str, Fault] = {
    "error": Fault(status=500),
    "conflict": Fault(status=409),
    "throttled": Fault(status=429, headers={"Retry-After": "1"}),
    "delayed": Fault(delay=1.5),
    "cut": Fault(drop="before"),
    "lost": Fault(drop="after"),
}
BAD_LINE = 3


def every(count: int, fault: Fault) -> Fate:
    """Every so manieth call, watches and leases included."""
    return lambda _: lambda call: fault if call.number % count == 0 else None


def once(number: int, fault: Fault) -> Fate:
    """One call."""
    return lambda _: lambda call: fault if call.number == number else None


def death_after(number: int) -> Fate:
    """SIGKILL when the server has answered a call, before the operator hears of it."""

    def fate(life: Life) -> Plan:
        return lambda call: _death(life) if call.number == number else None

    return fate


def deaths_after_every(count: int) -> Fate:
    """SIGKILL after every so manieth call of its work: opening its watches alone takes a dozen."""

    def fate(life: Life) -> Plan:
        works = itertools.count(1)

        def plan(call: Call) -> Fault | None:
            if call.watch or call.lease or next(works) % count:
                return None
            return _death(life)

        return plan

    return fate


def _death(life: Life) -> Fault:
    return Fault(answered=life.operator.kill, drop="after")


# -- streams --------------------------------------------------------------------------------------


def streams(change: Callable[[], Stream]) -> Fate:
    """Every watch of changes, and of full states every second one, or none would ever be had."""

    def fate(_: Life) -> Plan:
        opened = itertools.count()

        def plan(call: Call) -> Fault | None:
            if not call.watch or (call.initial and next(opened) % 2):
                return None
            return Fault(stream=change())

        return plan

    return fate


def silent(_: Life) -> Plan:
    """The first watch of each kind stays open, and nothing comes any more."""
    seen: set[str] = set()

    def plan(call: Call) -> Fault | None:
        if not call.watch or call.initial or call.path in seen:
            return None
        seen.add(call.path)
        return Fault(stream=_hushed)

    return plan


async def _hushed(lines: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    async for number, line in _numbered(lines):
        if number == BAD_LINE:
            await asyncio.sleep(3600)
        yield line


def gone(_: Life) -> Plan:
    """410 for every second watch that wants to go on where it was."""
    opened = itertools.count()

    def plan(call: Call) -> Fault | None:
        if not call.watch or call.initial or next(opened) % 2:
            return None
        return Fault(status=410)

    return plan


def cut() -> Stream:
    """The connection breaks between two events."""

    async def change(lines: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        async for number, line in _numbered(lines):
            if number == BAD_LINE:
                raise BrokenStream
            yield line

    return change


def torn() -> Stream:
    """The stream ends, in good order, in the middle of an event."""

    async def change(lines: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        async for number, line in _numbered(lines):
            if number == BAD_LINE:
                yield line[: len(line) // 2]
                return
            yield line

    return change


def garbled() -> Stream:
    """A line that is no event, with the next ones behind it."""

    async def change(lines: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        async for number, line in _numbered(lines):
            yield line[: len(line) // 2] + b"\n" if number == BAD_LINE else line

    return change


def expired() -> Stream:
    """410 as an event."""
    event = {"type": "ERROR", "object": status_object(410)}

    async def change(lines: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        async for number, line in _numbered(lines):
            if number == BAD_LINE:
                yield json.dumps(event).encode() + b"\n"
                return
            yield line

    return change


async def _numbered(lines: AsyncIterator[bytes]) -> AsyncIterator[tuple[int, bytes]]:
    number = 0
    async for line in lines:
        number += 1
        yield number, line


STREAMS: dict[str, Fate] = {
    **{each.__name__: streams(each) for each in (cut, torn, garbled, expired)},
    "gone": gone,
    "silent": silent,
}

__all__ = ["FAULTS", "STREAMS", "death_after", "deaths_after_every", "every", "once"]

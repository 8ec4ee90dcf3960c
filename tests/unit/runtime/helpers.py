"""What the tests of the runtime share."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from llama_operator.runtime import Resource

THINGS = Resource("example.com", "v1", "things", "Thing")
THINGS_PATH = "/apis/example.com/v1/namespaces/ns/things"
SMALL = Resource("example.com", "v1", "smalls", "Small")
SMALL_PATH = "/apis/example.com/v1/namespaces/ns/smalls"


async def eventually(check: Callable[[], Any], seconds: float = 5.0) -> None:
    """Wait until `check` is true; the assertion names what it saw last."""
    deadline = asyncio.get_running_loop().time() + seconds
    while not (seen := check()):
        assert asyncio.get_running_loop().time() < deadline, f"still {seen!r} after {seconds} s"
        await asyncio.sleep(0.005)


class Running:
    """A background task that a test cannot forget."""

    def __init__(self, work: Awaitable[Any]) -> None:
        self.task = asyncio.ensure_future(work)

    async def __aenter__(self) -> asyncio.Future[Any]:
        return self.task

    async def __aexit__(self, *_: object) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)

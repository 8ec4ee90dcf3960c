"""Two operators for one namespace, of which the leader is stopped with a write on its way."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

from llama_operator.main import LOST_LEASE_EXIT
from llama_operator.process import LEASE
from tests.support.chaos import comes
from tests.support.chaos.life import Life, Site
from tests.support.chaos.operator import Operator, Pace
from tests.support.chaos.proxy import Call, Fault, Proxy, untouched
from tests.support.chaos.world import Object, difference

# Long enough for a leader on a machine whose two cores are busy with other tests to renew it.
PACE = Pace(lease=(12.0, 9.0, 1.0))
SECONDS = 60.0
# Scenes played beside each other, each with two operators that start.
AT_ONCE = 3


class Rivals:
    """The first operator leads; the second waits for its lease to end."""

    def __init__(self, life: Life, second: Operator, other: Proxy) -> None:
        self.life, self.second, self.other = life, second, other
        self._release = asyncio.Event()
        self.held: Call | None = None

    @classmethod
    @contextlib.asynccontextmanager
    async def begun(cls, site: Site, hint: str) -> AsyncIterator[Rivals]:
        """The first one leads."""
        async with (
            site.proxy() as other,
            Life.begun(site, hint, lambda _: untouched, pace=PACE, elect=True) as life,
        ):
            second = site.operator(life.namespace, "second", other.port, PACE, elect=True)
            rivals = cls(life, second, other)
            await rivals.succeed()
            yield rivals

    def hold(self, wanted: Callable[[Call], bool]) -> None:
        """The next write of the first operator that fits lies in a buffer, until `release`."""

        def plan(call: Call) -> Fault | None:
            if self.held is not None or not (call.write and wanted(call)):
                return None
            self.held = call
            return Fault(hold=self._release)

        self.life.proxy.plan = plan

    async def stop_first(self) -> None:
        """SIGSTOP the first one as soon as the write is on its way; it renews no lease."""
        await self.until(lambda: self.held is not None, "a write to hold")
        self.life.operator.pause()

    async def succeed(self) -> None:
        """Return when another one leads than now."""
        before = self._holder
        await self.until(lambda: self._holder not in (before, ""), "another one to lead")

    async def land(self) -> int:
        """Let the write of the past land; returns what the API server said."""
        assert self.held is not None
        number = self.held.number
        self._release.set()
        await self.until(lambda: number in self.life.proxy.answers, "the held write to land")
        return self.life.proxy.answers[number]

    async def wake_first(self) -> None:
        """SIGCONT: it must find that it lost, write nothing and exit."""
        asked = len(self.life.proxy.calls)
        self.life.operator.resume()
        await self.until(
            lambda: self.life.operator.exits == [LOST_LEASE_EXIT], "the first one to exit"
        )
        later = [call for call in self.life.proxy.calls[asked:] if _forbidden(call)]
        assert later == [], f"written after its lease: {[*map(str, later)]}"

    async def same(self, wanted: Object) -> None:
        """The namespace is as it was, and stays so."""
        await self.until(lambda: self.life.picture() == wanted, "the same picture", wanted)
        await self.other.quiet(1.0)
        assert self.life.picture() == wanted, difference(wanted, self.life.picture())

    async def until(
        self, check: Callable[[], bool], what: str, wanted: Object | None = None
    ) -> None:
        """Return when `check` holds; fails with a story."""
        if not await comes(check, SECONDS):
            seen = difference(wanted, self.life.picture()) if wanted is not None else ""
            logs = f"{self.life.operator.told[-2000:]}\n{self.second.told[-2000:]}"
            raise AssertionError(f"{what}: not within {SECONDS:g} s\n{seen}\n{logs}")

    @property
    def _holder(self) -> str:
        lease = self.life.site.world.get("Lease", self.life.namespace, LEASE) or {}
        return str(lease.get("spec", {}).get("holderIdentity") or "")


def _forbidden(call: Call) -> bool:
    # What it tells in Events is true all the same.
    return call.write and not call.lease and "/events" not in call.path

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.unit.runtime.fake_api import FakeApi, Fault
from tests.unit.runtime.helpers import Running, eventually

from llama_operator.runtime import Api, FakeClock, LeaderElector, NotLeader
from llama_operator.runtime.clock import settle

LEASES_PATH = "/apis/coordination.k8s.io/v1/namespaces/ns/leases"
LEASE = f"{LEASES_PATH}/op"


class Candidate:
    """A candidate with a clock that all candidates of a test share."""

    def __init__(self, server: FakeApi, clock: FakeClock, name: str, **options: Any) -> None:
        self.api: Api = server.api(clock=clock, user_agent=name)
        self.elector = LeaderElector(self.api, "ns", "op", name, **options)
        self.task: asyncio.Future[None] = asyncio.ensure_future(self.elector.run())

    async def close(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)
        await self.api.close()


async def run(clock: FakeClock, seconds: float, *watched: Candidate) -> None:
    """Move time on in steps that real sockets can follow; never two leaders."""
    for _ in range(round(seconds / 0.5)):
        clock.advance(0.5)
        for _ in range(6):
            await asyncio.sleep(0.002)
            assert sum(c.elector.is_leader for c in watched) <= 1


def spec(server: FakeApi) -> dict[str, Any]:
    lease = server.get(LEASE)
    assert lease
    return dict(lease["spec"])


async def test_one_of_two_leads_and_renews(server: FakeApi) -> None:
    clock = FakeClock()
    a, b = Candidate(server, clock, "a"), Candidate(server, clock, "b")
    await run(clock, 60, a, b)
    leaders = [c for c in (a, b) if c.elector.is_leader]
    assert len(leaders) == 1
    lease = spec(server)
    assert lease["holderIdentity"] == leaders[0].elector.identity
    assert lease["leaseTransitions"] == 0
    assert lease["renewTime"] > lease["acquireTime"]
    await a.close()
    await b.close()


async def test_a_released_lease_is_taken_at_once(server: FakeApi) -> None:
    clock = FakeClock()
    a = Candidate(server, clock, "a")
    await run(clock, 1, a)
    b = Candidate(server, clock, "b")
    await run(clock, 3, a, b)
    assert a.elector.is_leader
    a.task.cancel()
    await a.elector.release()
    assert not a.elector.is_leader
    assert spec(server)["holderIdentity"] == ""
    await run(clock, 3, a, b)
    assert b.elector.is_leader
    assert spec(server)["leaseTransitions"] == 1
    await a.close()
    await b.close()


async def test_a_dead_leader_is_succeeded_after_its_lease(server: FakeApi) -> None:
    clock = FakeClock()
    a = Candidate(server, clock, "a")
    await run(clock, 1, a)
    await a.close()
    b = Candidate(server, clock, "b")
    await run(clock, 13, b)
    assert not b.elector.is_leader
    await run(clock, 6, b)
    assert b.elector.is_leader
    await b.close()


@pytest.mark.parametrize("how", ["cut", "hang", "error"])
async def test_who_cannot_renew_stops_before_another_may_start(server: FakeApi, how: str) -> None:
    """The server is gone for the leader only; the other candidate takes over, and never both."""
    clock = FakeClock()
    a = Candidate(server, clock, "a")
    await run(clock, 5, a)
    assert a.elector.is_leader
    fault = {"cut": Fault(cut=True), "hang": Fault(delay=30), "error": Fault(status=500)}[how]
    server.fault = lambda r: fault if r.headers["User-Agent"] == "a" else None
    b = Candidate(server, clock, "b")
    await run(clock, 10.5, a, b)
    assert not a.elector.is_leader
    await asyncio.wait_for(a.task, 1)
    await run(clock, 8, a, b)
    assert b.elector.is_leader
    await a.close()
    await b.close()


async def test_a_renewal_without_an_answer_counts_for_nothing(server: FakeApi) -> None:
    """The write lands, the answer is lost: deadline from the last answered one."""
    clock = FakeClock()
    a = Candidate(server, clock, "a")
    await run(clock, 1, a)
    server.fault = lambda r: Fault(cut_after_commit=True) if r.method == "PATCH" else None
    await run(clock, 11, a)
    assert not a.elector.is_leader
    await a.close()


async def test_the_deadline_counts_from_before_the_request_was_sent(server: FakeApi) -> None:
    """The server may have stored the renewal at any moment until it answered."""
    clock = FakeClock()
    api = server.api(clock=clock)
    elector = LeaderElector(api, "ns", "op", "a")
    server.thawed.clear()
    attempt = asyncio.ensure_future(elector._try(10))
    await eventually(lambda: server.requests)
    clock.advance(4)
    server.thawed.set()
    assert await attempt
    assert elector.is_leader
    clock.advance(5.9)
    assert elector.is_leader
    clock.advance(0.2)
    assert not elector.is_leader
    await api.close()


async def test_a_stopped_process_finds_itself_fenced(server: FakeApi) -> None:
    """SIGSTOP beyond the lease: the first thing that runs afterwards may not write."""
    clock = FakeClock()
    a = Candidate(server, clock, "a")
    a.api.fence = a.elector.check
    await run(clock, 1, a)
    a.api.fence()
    clock._elapsed += 60  # no timer has run, no task has been told
    with pytest.raises(NotLeader):
        a.api.fence()
    await a.close()


async def test_a_lease_taken_by_another_is_lost_at_the_next_renewal(server: FakeApi) -> None:
    clock = FakeClock()
    a = Candidate(server, clock, "a")
    await run(clock, 1, a)
    thief = {"spec": {**spec(server), "holderIdentity": "b", "renewTime": "later"}}
    server.put(LEASES_PATH, thief, name="op")
    await run(clock, 3, a)
    assert a.task.done()
    assert not a.elector.is_leader
    await a.elector.release()
    assert spec(server)["holderIdentity"] == "b"
    await a.close()


async def test_of_two_that_saw_the_same_lease_one_gets_it(server: FakeApi) -> None:
    """Another candidate's write lands between our read and our write."""
    clock = FakeClock()
    a = Candidate(server, clock, "a")

    def overtake(request: object) -> None:
        if server.requests[-1][0] == "PATCH":
            taken = {"holderIdentity": "b", "leaseDurationSeconds": 15, "renewTime": "now"}
            server.put(LEASES_PATH, {"spec": taken}, name="op")
            server.fault = lambda _: None

    server.put(LEASES_PATH, {"spec": {"holderIdentity": ""}}, name="op")
    server.fault = overtake
    await run(clock, 5, a)
    assert not a.elector.is_leader
    assert spec(server)["holderIdentity"] == "b"
    await a.close()


async def test_a_lease_that_another_took_is_not_released(server: FakeApi) -> None:
    clock = FakeClock()
    a = Candidate(server, clock, "a")
    await run(clock, 1, a)
    a.task.cancel()
    server.put(LEASES_PATH, {"spec": {**spec(server), "holderIdentity": "b"}}, name="op")
    assert a.elector.is_leader
    await a.elector.release()
    assert spec(server)["holderIdentity"] == "b"
    await a.close()


async def test_unknown_fields_of_the_lease_stay(server: FakeApi) -> None:
    old = {"holderIdentity": "", "leaseTransitions": 4, "strategy": "OldestEmulationVersion"}
    server.put(LEASES_PATH, {"spec": old}, name="op", labels={"a": "b"})
    clock = FakeClock()
    a = Candidate(server, clock, "a")
    await run(clock, 10, a)
    lease = server.get(LEASE)
    assert lease and lease["metadata"]["labels"] == {"a": "b"}
    assert lease["spec"]["strategy"] == "OldestEmulationVersion"
    assert lease["spec"]["leaseTransitions"] == 5
    await a.close()


async def test_the_holders_own_duration_counts(server: FakeApi) -> None:
    clock = FakeClock()
    theirs = {"holderIdentity": "old-version", "leaseDurationSeconds": 60, "renewTime": "t"}
    server.put(LEASES_PATH, {"spec": theirs}, name="op")
    a = Candidate(server, clock, "a")
    await run(clock, 58, a)
    assert not a.elector.is_leader
    await run(clock, 6, a)
    assert a.elector.is_leader
    await a.close()


async def test_clocks_of_candidates_may_differ(server: FakeApi) -> None:
    """The wall clock of the holder is an hour behind; its renewals are seen as changes."""
    clock, late = FakeClock(), FakeClock()
    a = Candidate(server, late, "a")
    await run(late, 1, a)
    clock.advance(3600)
    b = Candidate(server, clock, "b")
    for _ in range(60):
        late.advance(0.5)
        clock.advance(0.5)
        await asyncio.sleep(0.01)
        assert not b.elector.is_leader
    assert a.elector.is_leader
    await a.close()
    await b.close()


def test_unsafe_durations_are_refused() -> None:
    with pytest.raises(ValueError, match="above renew deadline"):
        LeaderElector(Api.__new__(Api), "ns", "op", lease_duration=10, renew_deadline=10)


async def test_wait_leading(server: FakeApi) -> None:
    clock = FakeClock()
    a = Candidate(server, clock, "a")
    async with Running(a.elector.wait_leading()) as waiting:
        await settle()
        await run(clock, 1, a)
        assert waiting.done()
    await a.close()

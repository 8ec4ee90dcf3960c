"""Leader election on a Lease that cannot split brain, as far as a lease can prevent it.

After client-go's tools/leaderelection, with its promise: one leader at a time while the clocks of
the candidates run at about the same rate; their absolute values do not matter, because only times
measured here, on a monotonic clock, are compared. The order that makes it hold:

    retry period < renew deadline < lease duration

A leader counts its renew deadline from the moment *before* it sent the last successful renewal; a
candidate counts the lease duration from the moment *after* it saw a change. Each request ends
before the deadline does, so a hanging API server or a dropped connection costs the leadership in
time. A lease is no fence: a write that is already on its way may still land after the successor
has started, so every write must be safe to repeat. `check` narrows that window to the requests in
flight, also for a process that was stopped and continued beyond its lease.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import socket
import uuid
from datetime import datetime
from typing import Any

from .api import Api
from .clock import within
from .errors import AlreadyExists, ClusterError, Conflict, NotFound, NotLeader
from .hooks import NO_HOOKS, LeaderHooks
from .resource import LEASES, Object
from .statelog import StateLog

log = logging.getLogger(__name__)

JITTER = 1.2


def default_identity() -> str:
    """Unique per process, readable in `kubectl get lease`: pod or host name and a random part."""
    return f"{os.environ.get('POD_NAME') or socket.gethostname()}_{uuid.uuid4()}"


def micro_time(moment: datetime) -> str:
    """MicroTime as the API writes it."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class LeaderElector:
    """One candidate for the Lease `namespace/name`; all durations in seconds.

    `run` returns when a leadership that was won is lost, and never before. Raises ValueError for
    durations that would not be safe.
    """

    def __init__(
        self,
        api: Api,
        namespace: str,
        name: str,
        identity: str | None = None,
        *,
        lease_duration: float = 15.0,
        renew_deadline: float = 10.0,
        retry_period: float = 2.0,
        hooks: LeaderHooks | None = None,
    ) -> None:
        if not lease_duration > renew_deadline > retry_period * JITTER > 0:
            raise ValueError(
                f"leader election: lease duration {lease_duration} s must be above renew deadline "
                f"{renew_deadline} s, and that above {JITTER} x retry period {retry_period} s"
            )
        self.identity = identity or default_identity()
        self._api = api
        self._clock = api.clock
        self._where = (namespace, name)
        self._lease_duration = lease_duration
        self._renew_deadline = renew_deadline
        self._retry_period = retry_period
        self._hooks = hooks or NO_HOOKS
        self._states = StateLog(log)
        self._seen: tuple[Any, ...] = ()
        self._seen_at = 0.0
        self._valid_until = float("-inf")
        self._leading = asyncio.Event()
        self.holder = ""

    # -- asked by others --------------------------------------------------------------------

    @property
    def is_leader(self) -> bool:
        """Whether the lease is held and its renew deadline has not passed, by the clock now."""
        return self._clock.monotonic() < self._valid_until

    def check(self) -> None:
        """Raise NotLeader unless leading; the fence before each write."""
        if not self.is_leader:
            raise NotLeader(f"the lease {'/'.join(self._where)} is not held by {self.identity}")

    async def wait_leading(self) -> None:
        """Return once the lease is won."""
        await self._leading.wait()

    # -- life -------------------------------------------------------------------------------

    async def run(self) -> None:
        """Win the lease, renew it, return when it is lost."""
        while not await self._try(self._renew_deadline):
            await self._clock.sleep(self._retry_period * (1.0 + (JITTER - 1.0) * random.random()))  # noqa: S311
        log.info("leading as %s", self.identity)
        self._leading.set()
        self._hooks.leading(self._where[1], True)
        try:
            await self._renew()
        finally:
            self._leading.clear()
            self._hooks.leading(self._where[1], False)

    async def _renew(self) -> None:
        """Return when the deadline has passed without a renewal or someone else holds it."""
        while True:
            left = self._valid_until - self._clock.monotonic()
            if left <= 0:
                break
            await self._clock.sleep(min(self._retry_period, left))
            left = self._valid_until - self._clock.monotonic()
            if left <= 0 or (not await self._try(left) and self._taken()):
                break
        self._valid_until = float("-inf")
        log.error("leadership lost; holder is %s", self.holder or "unknown")

    def _taken(self) -> bool:
        return self.holder != self.identity

    async def release(self) -> None:
        """Give the lease up if it is held, so that a successor need not wait for its end.

        To be called when nothing here writes any more and `run` is cancelled.
        """
        if not self.is_leader:
            return
        left = self._valid_until - self._clock.monotonic()
        self._valid_until = float("-inf")
        try:
            await within(self._clock, left, self._give_up())
        except (ClusterError, TimeoutError) as error:
            log.warning("the lease was not released and will time out: %s", error)

    async def _give_up(self) -> None:
        lease = await self._get()
        if lease and lease["spec"].get("holderIdentity") == self.identity:
            now = micro_time(self._clock.now())
            spec = {"holderIdentity": "", "leaseDurationSeconds": 1, "renewTime": now}
            await self._patch(lease, spec)
            log.info("lease released")

    # -- one attempt ------------------------------------------------------------------------

    async def _try(self, seconds: float) -> bool:
        """One attempt to take or renew, ended after `seconds`."""
        started = self._clock.monotonic()
        try:
            held = await within(self._clock, seconds, self._take_or_renew())
        except (ClusterError, TimeoutError) as error:
            self._report(error)
            return False
        self._states.recovered("", "lease requests work again")
        if held:
            self._valid_until = started + self._renew_deadline
        return held

    def _report(self, error: Exception) -> None:
        if not isinstance(error, Conflict | AlreadyExists):
            self._states.failed("", "lease cannot be read or written, will retry", error)

    async def _take_or_renew(self) -> bool:
        lease = await self._get()
        if lease is None:
            await self._create()
            return True
        self._observe(lease)
        if self.holder and self._taken() and self._still_valid(lease):
            return False
        self._observe(await self._patch(lease, self._spec(lease)))
        return True

    async def _get(self) -> Object | None:
        try:
            lease = await self._api.get(LEASES, *self._where, urgent=True)
        except NotFound:
            return None
        lease.setdefault("spec", {})
        return lease

    def _observe(self, lease: Object) -> None:
        """Restart the wait whenever anything about the lease has changed, by our own clock."""
        spec = lease.get("spec") or {}
        holder = spec.get("holderIdentity") or ""
        seen = (holder, spec.get("renewTime"), lease["metadata"].get("resourceVersion"))
        if seen != self._seen:
            self._seen, self._seen_at = seen, self._clock.monotonic()
        if holder != self.holder:
            log.info("lease %s is held by %s", "/".join(self._where), holder or "no one")
        self.holder = holder

    def _still_valid(self, lease: Object) -> bool:
        """The holder's own duration counts: it may run with other settings than ours."""
        duration = float(lease["spec"].get("leaseDurationSeconds") or self._lease_duration)
        return self._clock.monotonic() < self._seen_at + duration

    def _spec(self, lease: Object) -> Object:
        """What changes; fields that this code does not know stay as they are."""
        now = micro_time(self._clock.now())
        spec = {
            "holderIdentity": self.identity,
            "leaseDurationSeconds": max(1, round(self._lease_duration)),
            "renewTime": now,
        }
        if self._taken():
            spec["acquireTime"] = now
            spec["leaseTransitions"] = int(lease["spec"].get("leaseTransitions") or 0) + 1
        return spec

    async def _patch(self, lease: Object, spec: Object) -> Object:
        """Conditional on the version that was read: of two candidates, one gets a Conflict."""
        version = lease["metadata"]["resourceVersion"]
        patch = {"metadata": {"resourceVersion": version}, "spec": spec}
        return await self._api.patch(LEASES, *self._where, patch, urgent=True)

    async def _create(self) -> None:
        namespace, name = self._where
        self.holder = ""
        lease = {
            "apiVersion": LEASES.api_version,
            "kind": LEASES.kind,
            "metadata": {"namespace": namespace, "name": name},
        }
        spec = {**self._spec({"spec": {}}), "leaseTransitions": 0}
        self._observe(await self._api.create(LEASES, {**lease, "spec": spec}, urgent=True))

"""How fast, quiet and small the operator is with many deployments; run by `make bench-operator`.

A real API server and etcd on this machine's cores, the operator as a process with its own account,
children real. All figures are read from the API server's audit log and from /proc, and judged
against `operator_budgets.yaml`. Exits 1 where one is missed.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from llama_operator.config import Config
from llama_operator.reconcile import resources
from llama_operator.runtime import Api, load_configuration
from tests.bench import herd
from tests.bench.audit import AuditLog, Request
from tests.bench.operator_figures import Bare, Converged, Figures, Memory, delays, spread
from tests.bench.process_usage import Used, used
from tests.support.cluster import Cluster
from tests.support.stack import NAMESPACE, OPERATOR, Stack

BUDGETS = Path(__file__).with_name("operator_budgets.yaml")
ACCOUNT = f"system:serviceaccount:{NAMESPACE}:{OPERATOR}"
QUIET_SECONDS = 3.0
# No run of the sizes that there are lasts longer, on whatever machine.
MOST_SECONDS = 1200.0
EDITS = 100
EDIT_SECONDS = 0.2


@dataclass
class Site:
    """A control plane of its own, with what it was asked so far."""

    stack: Stack
    api: Api
    log: AuditLog
    seen: list[Request] = field(default_factory=list)

    @classmethod
    @contextlib.asynccontextmanager
    async def made(cls, directory: Path, *, controllers: bool) -> AsyncIterator[Site]:
        """Started, with the operator's kinds and the copy that all name."""
        audit = directory / "audit.log"
        with Cluster.control_plane(directory / "cluster", audit_log=audit) as cluster:
            stack = Stack(cluster)
            stack.install()
            # There is no node; ten thousand pods that wait for one would be another measurement.
            idle = ["kube-scheduler", *([] if controllers else ["kube-controller-manager"])]
            cluster.processes.stop(idle)
            api = Api(await load_configuration(cluster.kubeconfig))
            try:
                await herd.prepare(api)
                yield cls(stack, api, AuditLog(audit))
            finally:
                await api.close()

    def look(self) -> list[Request]:
        """Everything that was asked so far."""
        self.seen += self.log.read()
        return self.seen

    def asked(self, since: float = 0.0) -> list[Request]:
        """What the operator has asked, other than about its lease, since a time."""
        return [each for each in self.look() if _own(each) and each.came >= since]

    async def quiet(self, writes: int = 0) -> None:
        """Return when the operator has made so many writes, and asked for nothing for a while."""
        end = time.monotonic() + MOST_SECONDS
        read, made, last = 0, 0, 0.0
        while time.monotonic() < end:
            await asyncio.sleep(0.5)
            # Only what is new: this looks on while others are measured.
            for each in self.look()[read:]:
                if _own(each) and each.verb != "watch":
                    made, last = made + each.made, max(last, each.answered)
            read = len(self.seen)
            if made >= writes and time.time() - last > QUIET_SECONDS:
                return
        raise TimeoutError(f"the operator is not at rest after {MOST_SECONDS:g} s")

    async def start(self) -> None:
        """Start the operator; its children use no network, so the hub need not exist."""
        await asyncio.to_thread(self.stack.start_operator, "https://hub.invalid")

    @property
    def used(self) -> Used:
        """What the operator has used."""
        return used(self.stack.cluster.processes.identity(OPERATOR).pid)


def _own(request: Request) -> bool:
    return request.user == ACCOUNT and not request.lease


async def bare(directory: Path, count: int, *, controllers: bool) -> Bare:
    """What the same writes take a loop that knows them all."""
    async with Site.made(directory, controllers=controllers) as site:
        known = herd.known(count)
        began, cpu = time.time(), time.process_time()
        written = await herd.bare_loop(site.api, known, Config().workers)
        cpu = time.process_time() - cpu
        return Bare(spread(site.look(), since=began), cpu * 1000 / written)


async def measured(
    directory: Path, count: int, rest: float, *, controllers: bool, edits: int = EDITS
) -> tuple[Figures, Counter[str]]:
    """All phases on one control plane: converge, rest, restart, edit."""
    async with Site.made(directory, controllers=controllers) as site:
        await site.start()
        await site.quiet()
        converged, calls = await _converge(site, count)
        at_rest = await _rest(site, rest)
        live = site.used
        restarted = await _restart(site)
        memory = Memory(live.resident, live.peak, site.used.resident, _objects(site))
        followed = await _edit(site, min(count, edits))
        return Figures(count, converged, at_rest, restarted, memory, followed), calls


async def _converge(site: Site, count: int) -> tuple[Converged, Counter[str]]:
    expected = len(herd.Writes.of(herd.deployment(0)).children) * count
    began, before = time.time(), site.used
    await herd.create(site.api, count)
    await site.quiet(expected)
    after, asked = site.used, site.asked(since=began)
    created = [each for each in site.look() if each.came >= began and each.user != ACCOUNT]
    calls = Counter(f"{each.verb} {each.resource}" for each in asked)
    return Converged.of(created, asked, after.cpu - before.cpu), calls


async def _rest(site: Site, seconds: float) -> list[Request]:
    """What is asked while nothing happens; opening a watch again is its protocol."""
    began = time.time()
    await asyncio.sleep(seconds)
    return [each for each in site.asked(since=began) if each.verb != "watch"]


async def _restart(site: Site) -> list[Request]:
    await asyncio.to_thread(site.stack.stop, OPERATOR)
    began = time.time()
    await site.start()
    await asyncio.sleep(QUIET_SECONDS)
    await site.quiet()
    return [each for each in site.asked(since=began) if each.write]


def _objects(site: Site) -> int:
    """How many objects the operator's caches hold: all that were made and that it watches."""
    watched = {kind.plural for kind in (resources.DEPLOYMENTS, *resources.SERVING_CHILDREN)}
    made = [each for each in site.look() if each.made]
    named = {(each.resource, each.name) for each in made if each.resource in watched}
    pods = sum((each.verb, each.resource) == ("create", "pods") for each in made)
    return len(named) + pods


async def _edit(site: Site, count: int) -> list[float]:
    """Milliseconds from an edit to its child, one at a time; none makes or moves a pod."""
    began = time.time()
    peer = {"podSelector": {"matchLabels": {"team": "b"}}}
    change = {"spec": {"endpoint": {"networkPolicy": {"from": [peer]}}}}
    for number in range(count):
        await site.api.patch(resources.DEPLOYMENTS, herd.NAMESPACE, herd.name(number), change)
        await asyncio.sleep(EDIT_SECONDS)
    await site.quiet()
    return delays([each for each in site.look() if each.came >= began], ACCOUNT)


def budget_of(count: int) -> dict[str, Any]:
    """What a size is judged by."""
    return dict(yaml.safe_load(BUDGETS.read_text())["sizes"][count])


def judge(count: int, rest: float, *, alone: bool = False) -> bool:
    """Measure one size, print its figures, and say whether all budgets are kept.

    With `alone`, nothing but the operator acts on the API server, whatever the budget says.
    """
    budget = budget_of(count)
    controllers = budget["controllerManager"] and not alone
    title = f"{count:,} deployments" + ("" if controllers else ", no controller manager")
    print(f"{title}, {Config().workers} workers, {os.cpu_count()} cores", flush=True)
    loops = []
    with tempfile.TemporaryDirectory(prefix="bench-operator-") as scratch:
        if "timesBareLoop" in budget:
            loops.append(asyncio.run(bare(Path(scratch, "1"), count, controllers=controllers)))
        figures, calls = asyncio.run(
            measured(Path(scratch, "2"), count, rest, controllers=controllers)
        )
        if "timesBareLoop" in budget:
            # A machine that is shared has better and worse minutes: before and after.
            loops.append(asyncio.run(bare(Path(scratch, "3"), count, controllers=controllers)))
    passed = [each.shown() for each in figures.verdicts(loops, budget)]
    _show(calls.most_common())
    return all(passed)


def _show(calls: Iterable[tuple[str, int]]) -> None:
    print("  requests until at rest")
    for what, number in calls:
        print(f"    {what:<48} {number:>8,}", flush=True)


def main() -> int:
    """Exit status 1 when a budget is missed."""
    parser = argparse.ArgumentParser(prog="make bench-operator", description=__doc__)
    sizes = sorted(yaml.safe_load(BUDGETS.read_text())["sizes"])
    parser.add_argument("--size", type=int, choices=sizes, action="append", help="default: all")
    parser.add_argument("--rest", type=float, default=60.0, help="seconds at rest")
    parser.add_argument("--alone", action="store_true", help="without the controller manager")
    options = parser.parse_args()
    passed = [judge(size, options.rest, alone=options.alone) for size in options.size or sizes]
    return 0 if all(passed) else 1


if __name__ == "__main__":
    sys.exit(main())

"""Rollouts on GPUs that are full, nearly full and free; run by `make bench-rollout`.

API server, scheduler, controller manager and the operator's process are real; the node and what runs
on it are played. Each case brings a deployment to Ready, changes its flags once, and leaves it alone.
Exits 1 where a case does not end as it must.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llama_operator.api import labels
from llama_operator.reconcile import resources
from llama_operator.runtime import Api, Informer, Resource, load_configuration
from llama_operator.runtime.errors import NotFound
from tests.bench.rollout_cases import CASES, NAME, Case
from tests.support import builders
from tests.support.cluster import Cluster
from tests.support.played_node import PlayedNode, answers, until
from tests.support.ready_copy import COPY, make_copy
from tests.support.stack import Stack

Object = dict[str, Any]
NAMESPACE = "rollouts"
NAMESPACES = Resource("", "v1", "namespaces", "Namespace", namespaced=False)
VOLUMES = Resource("", "v1", "persistentvolumes", "PersistentVolume", namespaced=False)
SECONDS = 100.0
# Nothing may happen for so long after the end.
QUIET_SECONDS = 1.5


@dataclass(frozen=True)
class Outcome:
    """What was seen between the change and the end."""

    case: Case
    seconds: float
    status: Object
    fewest: int
    most: int
    stopped: int
    remade: int
    # Images that a new server had to wait for.
    missed: tuple[str, ...] = ()

    @property
    def failures(self) -> list[str]:
        """What is not as it must be."""
        case, told = self.case, self.status.get("rollout", {})
        checks = {
            f"strategy {told.get('strategy')}, not {case.strategy}": told.get("strategy")
            == case.strategy,
            f"{self.fewest} answered, fewer than {case.floor}": self.fewest >= case.floor,
            f"{self.stopped} old servers stopped": not (case.untouched and self.stopped),
            f"{self.most} servers at once on {case.gpus} GPUs": self.most <= case.gpus,
            f"a new server waited for {self.missed}": not self.missed,
        }
        return [text for text, good in checks.items() if not good]

    def shown(self) -> None:
        """One line, with the reason below it."""
        told = self.status["rollout"]
        verdict = "; ".join(self.failures) or "as it must be"
        print(f"{self.case.name:<30} {told['strategy']:<8} {self.seconds:>6.1f} s", end="  ")
        print(
            f"answering {self.fewest} to {self.case.replicas}, old stopped {self.stopped}", end="  "
        )
        print(f"[{verdict}]\n    {told['reason']}")
        if self.case.bad:
            print(f"    {_condition(self.status, 'Progressing')['message']}")
        sys.stdout.flush()


class Stage:
    """A control plane with a played node and the operator."""

    def __init__(self, cluster: Cluster, api: Api, node: PlayedNode) -> None:
        self.cluster, self.api, self.node = cluster, api, node
        self.deployments = Informer(api, resources.DEPLOYMENTS, namespace=NAMESPACE)

    @classmethod
    @contextlib.asynccontextmanager
    async def made(cls, directory: Path) -> AsyncIterator[Stage]:
        """Ready for its first case."""
        with Cluster.control_plane(directory / "cluster") as cluster:
            stack = Stack(cluster)
            await asyncio.to_thread(stack.install)
            api = Api(await load_configuration(cluster.kubeconfig))
            try:
                await _prepare(api)
                await asyncio.to_thread(stack.start_operator, "https://hub.invalid")
                async with PlayedNode.running(api, 0) as node:
                    stage = cls(cluster, api, node)
                    watching = asyncio.ensure_future(stage.deployments.run())
                    yield stage
                    watching.cancel()
            finally:
                await api.close()

    async def play(self, case: Case) -> Outcome:
        """One case, from its creation to its removal."""
        await self.node.gives(case.gpus)
        await self.api.create(resources.DEPLOYMENTS, deployment(case))
        await until(self.ready, SECONDS, f"{case.name}: Ready")
        try:
            return await self._changed(case)
        finally:
            await self.api.delete(resources.DEPLOYMENTS, NAMESPACE, NAME)
            await until(lambda: not self.servers(), SECONDS, f"{case.name}: removal")
            await self.gone()

    async def gone(self) -> None:
        """Until the children have gone too: the next case has the same names."""
        for _ in range(600):
            try:
                await self.api.get(resources.SERVERS, NAMESPACE, NAME)
            except NotFound:
                return
            await asyncio.sleep(0.1)

    async def _changed(self, case: Case) -> Outcome:
        old = {pod["metadata"]["uid"] for pod in self.servers()}
        counts: list[tuple[int, int]] = []
        self.node.pods.add_handler(lambda *_: counts.append(self.count()))
        began = time.monotonic()
        missed = len(self.node.missed)
        change = {"spec": {"engine": case.change}}
        made = await self.api.patch(resources.DEPLOYMENTS, NAMESPACE, NAME, change)
        generation = made["metadata"]["generation"]
        await self._comes(case, generation)
        took = time.monotonic() - began
        await asyncio.sleep(QUIET_SECONDS)
        await self._comes(case, generation)
        left = {pod["metadata"]["uid"] for pod in self.servers()}
        return Outcome(
            case,
            took,
            self.status,
            fewest=min(ready for ready, _ in counts),
            most=max(there for _, there in counts),
            stopped=len(old - left),
            remade=len(left - old),
            missed=tuple(self.node.missed[missed:]),
        )

    async def _comes(self, case: Case, generation: int) -> None:
        try:
            await until(lambda: self.over(case, generation), SECONDS, f"{case.name}: its end")
        except TimeoutError as error:
            pods = [(p["metadata"]["name"], p["metadata"].get("deletionTimestamp"), p["status"])
                    for p in self.node.pods.store.list(NAMESPACE)]  # fmt: skip
            raise AssertionError(f"{error}\n{json.dumps([self.status, pods], indent=1)}") from None

    @property
    def status(self) -> Object:
        """What the deployment says of itself."""
        found = self.deployments.store.get(NAMESPACE, NAME) or {}
        return dict(found.get("status", {}))

    def servers(self) -> list[Object]:
        """Servers that hold GPUs."""
        found = self.node.pods.store.list(NAMESPACE)
        return [pod for pod in found if pod["spec"].get("nodeName") and not _pulls(pod)]

    def count(self) -> tuple[int, int]:
        """Servers that answer, and all that hold GPUs."""
        pods = self.servers()
        return sum(map(answers, pods)), len(pods)

    def ready(self) -> bool:
        """Whether the deployment says that it is."""
        return _condition(self.status, "Ready").get("status") == "True"

    def over(self, case: Case, generation: int) -> bool:
        """As the status says, and every replica answers again."""
        said = _condition(self.status, "Progressing")
        judged = self.status.get("observedGeneration") == generation
        full = self.count() == (case.replicas, case.replicas)
        return judged and full and said.get("reason") == case.reason


def _pulls(pod: Object) -> bool:
    return bool(pod["metadata"]["labels"].get(labels.COMPONENT) == labels.PULL)


def _condition(status: Object, kind: str) -> Object:
    return next((c for c in status.get("conditions", ()) if c["type"] == kind), {})


def deployment(case: Case) -> Object:
    """Of this case, before its change."""
    raw = builders.deployment(
        NAME,
        weightsRef={"name": COPY},
        replicas=case.replicas,
        auth={"mode": "None"},
        rollout=case.rollout,
        scheduling={"affinity": case.affinity},
    )
    raw["metadata"] = {"name": NAME, "namespace": NAMESPACE}
    return raw


async def _prepare(api: Api) -> None:
    """The namespace with a copy of weights whose claim is bound, so that pods can be scheduled."""
    await api.create(NAMESPACES, {"metadata": {"name": NAMESPACE}})
    await make_copy(api, NAMESPACE)
    volume = {
        "metadata": {"name": COPY},
        "spec": {
            "accessModes": ["ReadWriteMany"],
            "capacity": {"storage": "20Gi"},
            "storageClassName": "none",
            "hostPath": {"path": "/nowhere"},
            "claimRef": {"namespace": NAMESPACE, "name": COPY},
        },
    }
    await api.create(VOLUMES, volume)


async def played(cases: Iterable[Case]) -> list[Outcome]:
    """All cases, one after the other, on one control plane."""
    outcomes = []
    with tempfile.TemporaryDirectory(prefix="bench-rollout-") as scratch:
        async with Stage.made(Path(scratch)) as stage:
            for case in cases:
                outcome = await stage.play(case)
                outcome.shown()
                outcomes.append(outcome)
    return outcomes


def main() -> int:
    """Exit status 1 when a case does not end as it must."""
    parser = argparse.ArgumentParser(prog="make bench-rollout", description=__doc__)
    parser.add_argument("--only", default="", help="cases whose name has this in it")
    options = parser.parse_args()
    outcomes = asyncio.run(played(case for case in CASES if options.only in case.name))
    return 1 if any(outcome.failures for outcome in outcomes) or not outcomes else 0


if __name__ == "__main__":
    sys.exit(main())

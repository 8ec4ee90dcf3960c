"""The API server, or etcd behind it, is killed while fifty deployments converge."""

from __future__ import annotations

import asyncio
import json
import signal
from urllib.parse import urlsplit

import pytest

from llama_operator.reconcile import resources
from llama_operator.runtime.errors import ClusterError
from tests.support.chaos import comes
from tests.support.chaos.life import NAME, Site, web
from tests.support.chaos.operator import REAL
from tests.support.chaos.world import Object, difference
from tests.support.ready_copy import COPY, make_copy

pytestmark = [pytest.mark.cluster, pytest.mark.asyncio(loop_scope="session")]

COUNT = 50
FIRST = f"{NAME}-00"
DOWN_SECONDS = 2.0
# One for each thing that fails and for each that works again: two dozen watches, each of which is cut
# and then expired, and the objects at work. A line per retry would be many hundreds.
MOST_LINES = 150


async def prepared(site: Site, hint: str) -> str:
    """A namespace with a copy that is ready."""
    namespace = await site.namespace(hint)
    await make_copy(site.api, namespace)
    return namespace


async def make(site: Site, namespace: str, number: int) -> None:
    """As a user does who tries again until it works."""
    obj = web(namespace, weightsRef={"name": COPY})
    obj["metadata"]["name"] = f"{NAME}-{number:02}"
    for _ in range(200):
        try:
            await site.api.apply(resources.DEPLOYMENTS, obj, manager="user")
        except ClusterError:
            await asyncio.sleep(0.3)
        else:
            return
    raise AssertionError(f"{obj['metadata']['name']} cannot be made")


def owned(picture: Object, name: str) -> Object:
    """What belongs to one deployment, under the name of the first one."""
    found = {key: obj for key, obj in picture.items() if f"/{name}" in key}
    return dict(json.loads(json.dumps(found).replace(name, FIRST)))


def unlike(site: Site, namespace: str, wanted: Object) -> str:
    """How the deployments differ from the first one."""
    picture = site.world.picture(namespace)
    names = [f"{NAME}-{number:02}" for number in range(COUNT)]
    return "\n".join(filter(None, (difference(wanted, owned(picture, name)) for name in names)))


@pytest.mark.parametrize("victim", ["kube-apiserver", pytest.param("etcd", marks=pytest.mark.slow)])
async def test_kill_9_in_mid_convergence(site: Site, victim: str) -> None:
    namespace = await prepared(site, victim.removeprefix("kube-"))
    processes = site.cluster.processes
    port = urlsplit(site.cluster.server).port or 0
    async with site.operator(namespace, "operator", port, REAL, elect=True) as operator:
        await make(site, namespace, 0)
        assert await comes(lambda: serves(site, namespace, FIRST), 40), operator.told
        wanted = owned(site.world.picture(namespace), FIRST)
        rest = asyncio.gather(*(make(site, namespace, number) for number in range(1, COUNT)))
        assert await comes(lambda: len(site.world.all("Service", namespace)) > COUNT // 5, 40)
        processes.signal(victim, signal.SIGKILL)
        await asyncio.sleep(DOWN_SECONDS)
        assert len(site.world.all("Service", namespace)) < COUNT, "it was killed too late"
        processes.start(processes.command(victim))
        await rest
        same = await comes(lambda: unlike(site, namespace, wanted) == "", 120, every=0.5)
        assert same, f"{unlike(site, namespace, wanted)}\n{operator.told[-3000:]}"
        await asyncio.sleep(2)
        assert unlike(site, namespace, wanted) == "", "not at rest"
        assert site.world.picture(namespace)["Pod of server ready=True"] == COUNT
        assert "Traceback" not in operator.told
        told = [line for line in operator.told.splitlines() if " INFO " not in line]
        assert len(told) <= MOST_LINES, "\n".join(told)


def serves(site: Site, namespace: str, name: str) -> bool:
    raw = site.world.get("LlamaDeployment", namespace, name) or {}
    conditions = raw.get("status", {}).get("conditions", ())
    return any((c["type"], c["reason"]) == ("Ready", "Serving") for c in conditions)

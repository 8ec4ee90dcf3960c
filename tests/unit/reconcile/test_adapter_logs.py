"""Servers are asked for their adapters while something is waited for, and not at rest."""

from __future__ import annotations

import json
from typing import Any

import pytest

from llama_operator.reconcile.adapter_logs import AdapterLogs, Followed, said
from llama_operator.reconcile.snapshot import Loading

Object = dict[str, Any]
PLACE = "llama/" + "a" * 16
WANTED = {"sql": PLACE}


def line(loaded: Object, **failed: str) -> str:
    text = json.dumps({"loaded": loaded, "failed": failed})
    return f"(APIServer pid=1) INFO 11-27 [llama_adapters.py:1] llama_adapters: {text}\n"


class Cluster:
    """Logs by pod, and the clock."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}
        self.asked: list[tuple[str, int | None]] = []
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    async def logs(self, _ns: str, pod: str, _box: str, **options: Any) -> str:
        self.asked.append((pod, options["since_seconds"]))
        return self.texts.get(pod, "")


def pod(name: str) -> Object:
    box = {"name": "engine", "ready": True, "state": {"running": {}}, "containerID": name}
    meta = {"name": name, "namespace": "default", "uid": f"uid-{name}"}
    return {"metadata": meta, "status": {"containerStatuses": [box]}}


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


@pytest.fixture
def logs(cluster: Cluster) -> AdapterLogs:
    return AdapterLogs(cluster, cluster)  # type: ignore[arg-type]


async def follow(logs: AdapterLogs, *names: str, believed: bool = False) -> Followed:
    return await logs.follow("uid-web", [pod(name) for name in names], WANTED, believed)


async def test_a_server_is_asked_until_it_has_said_what_is_wanted(
    logs: AdapterLogs, cluster: Cluster
) -> None:
    cluster.texts["a"] = line({})
    found = await follow(logs, "a")
    assert found.loaded == {"uid-a": Loading()}
    assert found.again == 15.0
    await follow(logs, "a")
    assert len(cluster.asked) == 1, "not at every pass"
    cluster.now += 15
    cluster.texts["a"] = line(WANTED)
    found = await follow(logs, "a")
    assert found == Followed({"uid-a": Loading(loaded=WANTED)}, None)
    assert cluster.asked == [("a", None), ("a", 17)], "it reads on from the last look"
    cluster.now += 10_000
    await follow(logs, "a")
    assert len(cluster.asked) == 2


async def test_a_silent_server_is_asked_less_often_by_and_by(
    logs: AdapterLogs, cluster: Cluster
) -> None:
    for _ in range(45):
        found = await follow(logs, "a")
        assert found.loaded == {}
        cluster.now += found.again or 0
    assert found.again == 300.0
    assert len(cluster.asked) == 44


async def test_a_failure_is_an_answer_too(logs: AdapterLogs, cluster: Cluster) -> None:
    cluster.texts["a"] = line({}, sql="no such rank")
    found = await follow(logs, "a")
    assert found.loaded["uid-a"].failed == {"sql": "no such rank"}
    assert found.again == 15.0, "it is tried again there"


async def test_after_a_restart_the_status_is_believed_and_new_servers_are_not(
    logs: AdapterLogs, cluster: Cluster
) -> None:
    found = await follow(logs, "a", "b", believed=True)
    assert set(found.loaded) == {"uid-a", "uid-b"}
    assert found.again is None
    assert cluster.asked == []
    found = await follow(logs, "a", "c", believed=True)
    assert [name for name, _ in cluster.asked] == ["c"]
    assert set(found.loaded) == {"uid-a"}


async def test_many_servers_are_asked_in_turns(logs: AdapterLogs, cluster: Cluster) -> None:
    names = [f"p{number:02}" for number in range(20)]
    for _ in range(3):
        await follow(logs, *names)
    assert sorted(name for name, _ in cluster.asked) == names


@pytest.mark.parametrize(
    "text",
    [
        "",
        "llama_adapters: {}",
        "llama_adapters: {no json}",
        'llama_adapters: {"loaded": 1, "failed": {}}',
    ],
)
def test_a_log_of_a_stranger_says_nothing(text: str) -> None:
    assert said(text) is None


def test_the_last_word_counts() -> None:
    assert (
        said(line({"a": PLACE}) + "GET /health\n" + line({}) + "llama_adapters: {x}\n") == Loading()
    )

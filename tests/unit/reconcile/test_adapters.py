"""Adapters come, are judged, are loaded and go again, and no server is restarted for them."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from tests.support.builders import deployment, world
from tests.support.memory import Memory
from tests.support.simulation import Simulation

from llama_operator.api import labels
from llama_operator.reconcile import watching
from llama_operator.reconcile.caches import Caches
from llama_operator.reconcile.snapshot import DeploymentView, Loading
from llama_operator.runtime.resource import Key

Object = dict[str, Any]
SQL = {"name": "sql", "source": {"huggingFace": {"repo": "o/sql"}}}
MINE = {"name": "mine", "source": {"claim": {"name": "files", "path": "a"}}}
ROOM = {"enabled": True}


class World(Simulation):
    """A deployment whose weights are ready; `says` replaces what its server says of adapters."""

    says: Loading | None = None

    def deployment(self) -> DeploymentView:
        view = super().deployment()
        if self.says is None or not view.followed:
            return view
        return replace(view, loaded={"server": self.says})

    def edit(self, **spec: Any) -> None:
        raw = self.memory.objects["LlamaDeployment", "web"]
        generation = raw["metadata"]["generation"] + 1
        changed = {**raw["spec"], **spec}
        meta = {**raw["metadata"], "generation": generation}
        self.memory.put({**raw, "spec": changed, "metadata": meta})

    @property
    def status(self) -> Object:
        found: Object = self.memory.objects["LlamaDeployment", "web"]["status"]
        return found

    @property
    def listed(self) -> Object:
        found = self.memory.objects["ConfigMap", "web-adapters"]["data"]["adapters.json"]
        return dict(json.loads(found))

    @property
    def template(self) -> Object:
        found: Object = self.memory.objects["Deployment", "web"]["spec"]["template"]
        return found

    def adapters(self) -> list[Object]:
        return [
            self.memory.objects["LlamaWeights", name]
            for name in self.copies
            if labels.DEPLOYMENT in self.memory.objects["LlamaWeights", name]["metadata"]["labels"]
        ]

    def degraded(self) -> tuple[str, str]:
        found = next(each for each in self.status["conditions"] if each["type"] == "Degraded")
        return found["reason"], found["message"]


def settled(**spec: Any) -> World:
    memory = Memory([deployment(**spec)])
    claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "files"}}
    memory.put({**claim, "spec": {"x": 1}})
    for obj in memory.objects.values():
        obj["metadata"].setdefault("namespace", "default")
    simulation = World(memory, env=world())
    simulation.settle(rounds=20)
    return simulation


def test_an_adapter_is_fetched_listed_loaded_and_counted() -> None:
    found = settled(lora=ROOM, adapters=[SQL])
    [copy] = found.adapters()
    assert copy["spec"]["adapter"] is True
    assert copy["spec"]["storage"] == {"claimName": "web-adapters"}
    assert found.listed == {"sql": copy["status"]["path"]}
    [row] = found.status["adapters"]
    assert row == {"name": "sql", "digest": copy["status"]["digest"], "readyReplicas": 1}
    assert found.degraded()[0] == "Healthy"


def test_adapters_change_no_pod() -> None:
    found = settled(lora=ROOM)
    before, revision = found.template, found.status["revision"]
    assert found.listed == {}
    for adapters in ([SQL], [SQL, MINE], [MINE], []):
        found.edit(adapters=adapters)
        found.settle(rounds=20)
        assert found.template == before
        assert found.status["revision"] == revision
        assert set(found.listed) == {each["name"] for each in adapters}


def test_without_room_nothing_is_made() -> None:
    found = settled()
    kinds = {kind for kind, _ in found.memory.objects}
    assert "ConfigMap" not in kinds
    assert "adapters" not in found.status
    assert not any(volume["name"] == "adapters" for volume in found.template["spec"]["volumes"])


def test_nothing_is_fetched_before_the_volume_has_followed_the_servers() -> None:
    found = settled(lora=ROOM)
    claim = found.memory.objects["PersistentVolumeClaim", "web-adapters"]
    found.memory.put({**claim, "status": {"phase": "Pending"}})
    found.edit(adapters=[SQL])
    found.settle()
    assert not found.adapters()
    assert found.status["adapters"][0]["message"].startswith("Waits for a server")
    claim = found.memory.objects["PersistentVolumeClaim", "web-adapters"]
    found.memory.put({**claim, "status": {"phase": "Bound"}})
    found.serve()
    assert len(found.adapters()) == 1


def test_two_names_of_one_source_are_one_copy() -> None:
    found = settled(lora=ROOM, adapters=[SQL, {**SQL, "name": "other"}])
    assert len(found.adapters()) == 1
    assert len(set(found.listed.values())) == 1
    assert len(found.listed) == 2


def test_a_rank_above_the_limit_is_refused_and_listed_once_it_is_raised() -> None:
    found = settled(lora={"enabled": True, "maxRank": 4}, adapters=[SQL])
    assert found.listed == {}
    message = (
        "spec.adapters[sql]: its rank 8 is above spec.lora.maxRank 4; set that to 8 (one restart), "
        "or use an adapter of a lower rank"
    )
    assert found.degraded() == ("AdapterFailed", message)
    assert found.status["adapters"][0]["message"] == message
    found.edit(lora={"enabled": True, "maxRank": 8})
    found.settle(rounds=20)
    assert set(found.listed) == {"sql"}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"inputs": 576, "outputs": 576}, "q_proj is 576 to 576 wide in it and 4096 to 4096"),
        ({"name": "c_attn"}, "it changes c_attn, which vLLM does not load"),
    ],
)
def test_an_adapter_of_another_base_is_refused(change: Object, said: str) -> None:
    found = settled(lora=ROOM, adapters=[SQL])
    [copy] = found.adapters()
    module = copy["status"]["adapter"]["modules"][0]
    changed = {**copy["status"]["adapter"], "modules": [{**module, **change}]}
    found.memory.put({**copy, "status": {**copy["status"], "adapter": changed}})
    found.settle()
    reason, message = found.degraded()
    assert reason == "AdapterFailed"
    assert said in message
    assert "llama-3.1-8b-instruct" in message or "target_modules" in message
    assert found.listed == {}


def test_more_layers_than_the_model_has() -> None:
    found = settled(lora=ROOM, adapters=[SQL])
    [copy] = found.adapters()
    changed = {**copy["status"]["adapter"], "layers": 80}
    found.memory.put({**copy, "status": {**copy["status"], "adapter": changed}})
    found.settle()
    assert "reaches to layer 80, llama-3.1-8b-instruct has 32" in found.degraded()[1]


def test_the_name_of_the_model_itself_is_refused() -> None:
    found = settled(lora=ROOM, endpoint={"servedModelName": "sql"}, adapters=[SQL])
    assert "name of the served model" in found.degraded()[1]


def test_a_path_that_is_not_ours_is_never_listed() -> None:
    found = settled(lora=ROOM, adapters=[SQL])
    [copy] = found.adapters()
    bad = {**copy["status"], "path": "../../other"}
    found.memory.put({**copy, "status": bad})
    found.serve()
    assert found.listed == {}
    assert "not of our making" in found.degraded()[1]


def test_what_a_server_cannot_load_is_told() -> None:
    found = settled(lora=ROOM, adapters=[SQL])
    found.says = Loading(failed={"sql": "the engine refused it (500): no"})
    found.settle()
    assert found.degraded() == (
        "AdapterFailed",
        "spec.adapters[sql]: the engine refused it (500): no",
    )
    assert found.status["adapters"][0]["readyReplicas"] == 0


def test_files_go_only_when_no_server_has_them_and_the_copy_goes_last() -> None:
    found = settled(lora=ROOM, adapters=[SQL])
    path = found.adapters()[0]["status"]["path"]
    found.says = Loading(loaded={"sql": path})
    found.edit(adapters=[])
    found.settle()
    assert found.listed == {}
    assert found.adapters(), "a server has it loaded yet"
    assert not _removals(found)
    found.says = None
    found.serve()
    [job] = _removals(found)
    assert job["spec"]["template"]["spec"]["containers"][0]["args"] == [
        "gc", "/adapters", f"--remove={path}", "--yes",
    ]  # fmt: skip
    assert found.adapters(), "the files are there yet"
    found.settle()
    assert not found.adapters()
    assert not _removals(found)


def test_a_server_that_has_not_said_anything_holds_the_files() -> None:
    found = settled(lora=ROOM, adapters=[SQL])
    view = found.deployment()
    silent = replace(view, loaded={})
    from llama_operator.reconcile.adapters import held

    assert held(silent, "any/where")
    assert not held(view, "any/where")


def test_wanted_again_while_its_files_go_it_is_fetched_again() -> None:
    found = settled(lora=ROOM, adapters=[SQL])
    [before] = found.adapters()
    found.edit(adapters=[])
    found.serve()
    found.serve()
    assert _removals(found)
    found.edit(adapters=[SQL])
    found.serve()
    assert found.listed == {}, "not while somebody removes it"
    found.settle(rounds=20)
    [after] = found.adapters()
    assert after["metadata"]["uid"] != before["metadata"]["uid"]
    assert set(found.listed) == {"sql"}


def test_without_room_any_more_volume_list_and_copies_go() -> None:
    found = settled(lora=ROOM, adapters=[SQL])
    found.edit(lora={}, adapters=[])
    found.settle(rounds=20)
    assert not found.adapters()
    names = {name for _, name in found.memory.objects}
    assert "web-adapters" not in names


def _removals(found: World) -> list[Object]:
    return [obj for (kind, name), obj in found.memory.objects.items() if "-unload-" in name]


def test_the_caches_know_whose_an_adapter_is() -> None:
    found = settled(lora=ROOM, adapters=[SQL])
    [copy] = found.adapters()
    caches = Caches(SimpleNamespace(clock=None))  # type: ignore[arg-type]
    caches.deployments.store.put(found.memory.objects["LlamaDeployment", "web"])
    caches.weights.store.put(copy)
    name = copy["metadata"]["name"]
    assert list(caches.adapters_of("default", "web")) == [name]
    assert caches.adapters_of("default", "other") == {}
    assert [each["metadata"]["name"] for each in caches.users_of("default", name)] == ["web"]
    # No longer asked for, it is told to the deployment all the same.
    found.edit(adapters=[])
    caches.deployments.store.put(found.memory.objects["LlamaDeployment", "web"])
    assert caches.users_of("default", name) == []
    assert watching.users(caches)(copy) == [Key("default", "web")]

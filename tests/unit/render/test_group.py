"""Servers over several nodes: the two parts of a group, and what stands around them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.support.builders import serving

from llama_operator.api import labels
from llama_operator.render import render
from llama_operator.render.inputs import Settings

Object = dict[str, Any]
TWO = {"nodes": 2, "tensorParallel": 8}


def made(**spec: Any) -> dict[tuple[str, str], Object]:
    wish = serving(sizing=TWO, **spec)
    settings = Settings(group_env=(("NCCL_IB_HCA", "mlx5"),), group_resources=(("rdma/ib", "1"),))
    objects = render.serving_objects(replace(wish, settings=settings))
    return {(obj["kind"], obj["metadata"]["name"]): obj for obj in objects}


def parts(**spec: Any) -> tuple[Object, Object]:
    found = made(**spec)["LeaderWorkerSet", "web"]["spec"]["leaderWorkerTemplate"]
    return found["leaderTemplate"], found["workerTemplate"]


def engine(template: Object) -> Object:
    (found,) = template["spec"]["containers"]
    return dict(found)


def test_ranks_are_joined_by_what_leaderworkerset_tells_each_pod() -> None:
    joined = {
        "--nnodes=2",
        "--node-rank=$(LWS_WORKER_INDEX)",
        "--master-addr=$(LWS_LEADER_ADDRESS)",
        "--tensor-parallel-size=8",
    }
    first, other = map(engine, parts())
    assert joined <= set(first["args"]) & set(other["args"])
    assert ("--headless" in first["args"], "--headless" in other["args"]) == (False, True)


def test_other_ranks_have_no_port_no_probe_no_guard_and_no_key() -> None:
    _, template = parts()
    other = engine(template)
    assert not {"ports", "startupProbe", "readinessProbe", "livenessProbe"} & set(other)
    assert not [each for each in other["args"] if "middleware" in each or "port=8000" in each]
    assert not [each for each in other["env"] if each["name"].startswith(("LLAMA_", "PYTHON"))]
    volumes = {each["name"] for each in template["spec"]["volumes"]}
    assert volumes == {"weights", "tmp", "shm", "cache"}
    assert labels.GUARD not in template["metadata"]["annotations"]


def test_the_guard_stands_before_the_canary() -> None:
    """vLLM puts the last middleware first."""
    flags = [each for each in engine(parts()[0])["args"] if each.startswith("--middleware=")]
    assert [each.rpartition(".")[2] for each in flags] == ["WarmUp", "Canary", "Guard"]
    items = next(v for v in parts()[0]["spec"]["volumes"] if "downwardAPI" in v)["downwardAPI"]
    files = {each["path"] for each in items["items"]}
    assert files == {"llama_guard.py", "llama_warm_up.py", "llama_canary.py"}


def test_every_rank_mounts_the_weights_read_only_and_asks_for_its_share() -> None:
    for template in parts():
        box = engine(template)
        weights = next(each for each in box["volumeMounts"] if each["name"] == "weights")
        assert weights["readOnly"] is True
        limits = box["resources"]["limits"]
        assert limits == {"nvidia.com/gpu": "4", "rdma/ib": "1"}
        assert {"name": "NCCL_IB_HCA", "value": "mlx5"} in box["env"]
        assert "/dev/shm" in [each["mountPath"] for each in box["volumeMounts"]]


def test_settings_of_groups_reach_no_server_on_one_node() -> None:
    plain = serving()
    objects = render.serving_objects(plain)
    changed = replace(plain.settings, group_env=(("A", "b"),), group_resources=(("c/d", "1"),))
    assert render.serving_objects(replace(plain, settings=changed)) == objects


def test_a_group_is_replaced_as_a_whole_under_names_that_no_service_of_ours_has() -> None:
    found = made()["LeaderWorkerSet", "web"]["spec"]
    assert found["leaderWorkerTemplate"]["restartPolicy"] == "RecreateGroupOnPodRestart"
    assert found["networkConfig"] == {"subdomainPolicy": "UniquePerReplica"}


def test_only_ranks_may_connect_to_ranks() -> None:
    objects = made()
    first = objects["NetworkPolicy", "web"]["spec"]
    other = objects["NetworkPolicy", "web-workers"]["spec"]
    rule = first["ingress"][1]
    assert "ports" not in rule
    assert other["ingress"] == [rule]
    values = rule["from"][0]["podSelector"]["matchExpressions"][0]["values"]
    assert set(values) == {labels.SERVER, labels.WORKER}
    assert other["podSelector"]["matchLabels"][labels.COMPONENT] == labels.WORKER


def test_the_service_leads_to_first_ranks_and_a_drain_counts_all() -> None:
    objects = made(replicas=2)
    first, other = (each["metadata"]["labels"] for each in parts())
    service = objects["Service", "web"]["spec"]["selector"]
    assert service.items() <= first.items()
    assert not service.items() <= other.items()
    budget = objects["PodDisruptionBudget", "web"]["spec"]["selector"]["matchExpressions"]
    assert set(budget[0]["values"]) == {first[labels.COMPONENT], other[labels.COMPONENT]}


@pytest.mark.parametrize("sizing", [TWO, {}])
def test_a_queue_of_kueue_is_named_on_what_makes_the_pods(sizing: Object) -> None:
    wish = serving(sizing=sizing, scheduling={"queueName": "gpus", "schedulerName": "volcano"})
    objects = render.serving_objects(wish)
    maker = next(obj for obj in objects if obj["kind"] in ("Deployment", "LeaderWorkerSet"))
    assert maker["metadata"]["labels"][labels.QUEUE] == "gpus"


def test_every_rank_has_room_for_adapters_and_their_files_and_the_first_one_loads_them() -> None:
    first, other = map(engine, parts(lora={"enabled": True}))
    room = {"--enable-lora", "--max-loras=4", "--max-lora-rank=16"}
    for rank in (first, other):
        assert room <= set(rank["args"])
        files = next(each for each in rank["volumeMounts"] if each["name"] == "adapters")
        assert files == {"name": "adapters", "mountPath": "/adapters", "readOnly": True}
    loads = "--middleware=llama_adapters.Adapters"
    assert (loads in first["args"], loads in other["args"]) == (True, False)

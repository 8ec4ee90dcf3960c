"""GPUs that are free for this pod, and how many more of it fit."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.builders import gpu_node, merged, serving

from llama_operator.api import labels
from llama_operator.reconcile.capacity import Room, room
from llama_operator.reconcile.holders import Holder, holder, requests
from llama_operator.render import pod
from llama_operator.render.meta import stamped

Object = dict[str, Any]
OWNER = ("default", "web")
RESOURCE = "nvidia.com/gpu"


def template(**spec: Any) -> Object:
    return stamped(pod.template(serving(**spec)))


def running(
    node: str = "n1", gpus: int = 1, ready: bool = True, **meta: Any
) -> Holder:  # a pod, as the API server shows it
    asked = {"resources": {"limits": {RESOURCE: str(gpus)}}}
    return holder(
        {
            "metadata": {"name": "p", "namespace": "other", **meta},
            "spec": {"nodeName": node, "containers": [asked]},
            "status": {"conditions": [{"type": "Ready", "status": str(ready)}]},
        }
    )


def server(old: Object, **change: Any) -> Holder:
    return running(namespace="default", **{**old["metadata"], **change})


def found(nodes: list[Object], *held: Holder, replicas: int = 1, **spec: Any) -> Room:
    return room(template(**spec), nodes, held, OWNER, RESOURCE, replicas)


def test_what_is_given_less_what_is_held() -> None:
    assert found([gpu_node()]) == Room(servers=8, free=8, gpus=8, nodes=1)
    assert found([gpu_node()], running(gpus=5)) == Room(servers=3, free=3, gpus=8, nodes=1)
    assert found([gpu_node()], running(gpus=8), running(gpus=8)).free == 0


def test_a_server_wants_its_gpus_on_one_node() -> None:
    nodes = [gpu_node("n1", 2), gpu_node("n2", 2)]
    held = (running("n1"), running("n2"))
    assert found(nodes, *held, gpu={"count": 2}) == Room(servers=0, free=2, gpus=4, nodes=2)
    assert found(nodes, running("n1", 2), gpu={"count": 2}).servers == 1


def test_memory_and_cpu_count_as_well() -> None:
    tight = gpu_node(status={"allocatable": {"memory": "1Gi"}})
    assert found([tight]) == Room(servers=0, free=8, gpus=8, nodes=1)
    assert found([gpu_node(status={"allocatable": {"pods": "1"}})], running(gpus=0)).servers == 0


def test_nodes_of_another_product_and_with_a_taint_do_not_count() -> None:
    other = gpu_node("n2", metadata={"labels": {"nvidia.com/gpu.product": "NVIDIA-L4"}})
    gone = gpu_node("n3", spec={"taints": [{"key": "maintenance", "effect": "NoSchedule"}]})
    assert found([gpu_node(), other, gone]) == Room(servers=8, free=8, gpus=8, nodes=1)
    reserved = {"key": RESOURCE, "value": "present", "effect": "NoSchedule"}
    assert found([gpu_node(spec={"taints": [reserved]})]).servers == 8


def test_under_a_surge_a_silent_old_server_keeps_its_gpus() -> None:
    old = template(engine={"args": ["--seed=1"]})
    assert found([gpu_node(gpus=1)], server(old, ready=True)).servers == 0
    assert found([gpu_node(gpus=1)], server(old, ready=False)).servers == 0
    both = (server(old), server(old, ready=False))
    assert found([gpu_node(gpus=2)], *both, replicas=2).servers == 0


def test_what_is_beyond_the_replicas_and_does_not_answer_gives_way() -> None:
    good, bad = template(engine={"args": ["--seed=1"]}), template(engine={"args": ["--seed=2"]})
    edited = (server(good), server(bad, ready=False))
    assert found([gpu_node(gpus=2)], *edited).servers == 1
    assert found([gpu_node(gpus=2)], *edited, replicas=2).servers == 0
    assert found([gpu_node(gpus=2)], server(good), server(template(), ready=False)).servers == 0
    ends = server(bad, ready=False, deletionTimestamp="2026-07-01T00:00:00Z")
    assert found([gpu_node(gpus=3)], *edited, ends).servers == 1
    assert found([gpu_node(gpus=2)], server(good), ends).servers == 0
    labelled = {**bad["metadata"]["labels"], labels.DEPLOYMENT: "x"}
    stranger = server(bad, ready=False, labels=labelled)
    assert found([gpu_node(gpus=2)], server(good), stranger).servers == 0


def test_beside_the_pods_that_mount_the_volume_where_only_one_node_can() -> None:
    made = template()
    term = {
        "labelSelector": {
            "matchLabels": {labels.VOLUME: made["metadata"]["labels"][labels.VOLUME]}
        },
        "topologyKey": "kubernetes.io/hostname",
    }
    bound = {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
    together = merged(made, {"spec": {"affinity": bound}})
    nodes = [gpu_node("n1", 1), gpu_node("n2", 4)]
    old = server(template(engine={"args": ["--seed=1"]}))
    assert room(together, nodes, [old], OWNER, RESOURCE, 1) == Room(0, 0, 1, 1)
    assert room(together, nodes, [], OWNER, RESOURCE, 1).servers == 5, "the first may go anywhere"
    assert room(made, nodes, [old], OWNER, RESOURCE, 1).servers == 4


def test_without_gpus_cpu_and_memory_decide() -> None:
    spec: Object = {"engine": {"device": "cpu", "image": "x:0.32.0"}, "gpu": {"product": ""}}
    made = template(**spec)
    assert room(made, [gpu_node(gpus=0)], [], OWNER, "", 1).servers > 0
    assert room(made, [gpu_node(gpus=0)], [], OWNER, "", 1).free == 0


@pytest.mark.parametrize(
    ("spec", "gpus"),
    [
        ({"containers": [{"resources": {"requests": {"g": "2"}, "limits": {"g": "2"}}}]}, 2),
        ({"containers": [{"resources": {"limits": {"g": 1}}}] * 3}, 3),
        ({"containers": [{}], "overhead": {"g": "1"}}, 1),
        ({"containers": [{}], "initContainers": [{"resources": {"requests": {"g": "4"}}}]}, 4),
        (
            {
                "containers": [{"resources": {"requests": {"g": "2"}}}],
                "initContainers": [
                    {"resources": {"requests": {"g": "1"}}, "restartPolicy": "Always"}
                ],
            },
            3,
        ),
        ({"containers": [{"resources": {"requests": {"g": "much"}}}]}, 0),
    ],
)
def test_what_a_pod_reserves(spec: Object, gpus: int) -> None:
    assert requests(spec).get("g", 0) == gpus

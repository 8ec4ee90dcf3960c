"""plan --from-cluster: which nodes count, what is planned for them, and what is left out."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from tests.cli.conftest import Run
from tests.cli.fake_api import Fake, status
from tests.support.builders import resource_slice

H100, L4 = "NVIDIA-H100-80GB-HBM3", "NVIDIA-L4"


def add(
    api: Fake,
    name: str,
    product: str = H100,
    count: int = 8,
    *,
    memory: int | None = 81559,
    allocatable: int | None = None,
    **more: Any,
) -> None:
    """A node with its labels; `allocatable` is what is left of `count`."""
    labels = {"nvidia.com/gpu.product": product, "nvidia.com/gpu.count": str(count)}
    labels |= {"nvidia.com/gpu.memory": str(memory)} if memory else {}
    held = {"nvidia.com/gpu": str(count if allocatable is None else allocatable), "cpu": "96"}
    node = {
        "metadata": {"name": name, "labels": {**labels, **more.pop("labels", {})}},
        "spec": {},
        "status": {
            "allocatable": held,
            "conditions": [{"type": "Ready", "status": more.pop("ready", "True")}],
        },
        **more,
    }
    api.put(f"/api/v1/nodes/{name}", node)


def planned(llamactl: Run, *args: object, code: int = 0) -> dict[str, Any]:
    result = llamactl("plan", *args, "--from-cluster", "-o", "json")
    assert result.exit_code == code, result.stderr
    return dict(json.loads(result.stdout))


def test_the_products_found_are_planned_and_their_nodes_named(llamactl: Run, api: Fake) -> None:
    add(api, "big-1")
    add(api, "big-2")
    add(api, "small", L4, 2, memory=23034)
    found = planned(llamactl, "70b")
    by_product = {c["gpuProduct"]: c["nodeNames"] for c in found["candidates"]}
    assert by_product == {H100: ["big-1", "big-2"], L4: ["small"]}
    assert found["chosen"]["gpuProduct"] == H100
    assert max(c["gpus"] for c in found["candidates"] if c["gpuProduct"] == L4) == 2
    assert ("GET", "/api/v1/nodes") in api.asked
    page = llamactl("plan", "70b", "--from-cluster")
    assert "Nodes:    big-1, big-2" in page.stdout
    assert f"Found 2 x 8 {H100} on big-1, big-2" in page.stderr
    assert "are not subtracted" in page.stderr


def test_no_more_nodes_than_there_are(llamactl: Run, api: Fake) -> None:
    add(api, "one")
    found = planned(llamactl, "405b", code=1)
    assert {c["nodes"] for c in found["candidates"]} == {1}
    add(api, "two")
    assert planned(llamactl, "405b")["chosen"]["nodes"] == 2
    more = planned(llamactl, "405b", "--nodes", 3, code=1)
    assert "3 is more than the 2 nodes" in more["refusal"]["message"]
    seventeen = planned(llamactl, "8b", "--gpus", 32, code=1)
    assert "2 nodes of 8 hold 16" in seventeen["refusal"]["message"]


def test_allocatable_counts_and_not_the_label(llamactl: Run, api: Fake) -> None:
    add(api, "half", allocatable=4)
    assert max(c["gpus"] for c in planned(llamactl, "8b")["candidates"]) == 4


def test_labels_of_a_product_that_no_table_knows(llamactl: Run, api: Fake) -> None:
    add(api, "new", "Acme-9000", memory=81920)
    assert planned(llamactl, "8b")["chosen"]["gpuProduct"] == "Acme-9000"
    add(api, "new", "Acme-9000", memory=None)
    result = llamactl("plan", "8b", "--from-cluster")
    assert result.exit_code == 1
    assert "'Acme-9000' is not a known GPU" in result.stderr


def test_gpus_of_amd_are_planned_for_rocm(llamactl: Run, api: Fake) -> None:
    node = {
        "metadata": {
            "name": "m",
            "labels": {"amd.com/gpu.product-name": "AMD_Instinct_MI300X_OAM"},
        },
        "status": {"allocatable": {"amd.com/gpu": "8"}},
    }
    api.put("/api/v1/nodes/m", node)
    result = llamactl("plan", "8b", "--from-cluster", "-o", "yaml")
    spec = yaml.safe_load(result.stdout)["spec"]
    assert spec["engine"]["device"] == "rocm"
    result = llamactl("plan", "8b", "--from-cluster", "--device", "cuda")
    assert (result.exit_code, "no node has GPUs for cuda" in result.stderr) == (2, True)


def test_nodes_that_cannot_take_pods_are_left_out(llamactl: Run, api: Fake) -> None:
    add(api, "good", L4, 1, memory=23034)
    add(api, "cordoned", spec={"unschedulable": True})
    add(api, "down", ready="Unknown")
    add(api, "no-plugin", allocatable=0)
    result = llamactl("plan", "8b", "--from-cluster", "-o", "json")
    assert {c["gpuProduct"] for c in json.loads(result.stdout)["candidates"]} == {L4}
    for words in ("cordoned: is cordoned", "down: is not ready", "has no allocatable nvidia"):
        assert f"{words}" in result.stderr


def test_no_node_tells_its_gpu(llamactl: Run, api: Fake) -> None:
    api.put("/api/v1/nodes/a", {"metadata": {"name": "a"}, "status": {}})
    held = {"allocatable": {"nvidia.com/gpu": "8"}}
    api.put("/api/v1/nodes/b", {"metadata": {"name": "b"}, "status": held})
    result = llamactl("plan", "8b", "--from-cluster")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert "none of the cluster's 2 nodes tells a GPU" in result.stderr
    assert "b: has nvidia.com/gpu, but no label nvidia.com/gpu.product" in result.stderr
    assert "name the GPU with --gpu" in result.stderr
    assert "kubectl get nodes -L nvidia.com/gpu.product" in result.stderr


def test_nodes_may_not_be_listed(llamactl: Run, api: Fake) -> None:
    api.rules.append(lambda *_: (403, status(403, "Forbidden", 'User "u" cannot list nodes')))
    result = llamactl("plan", "8b", "--from-cluster")
    assert result.exit_code == 1
    assert "you may not list nodes" in result.stderr


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--gpu", "H100"], "--gpu: it excludes --from-cluster"),
        (["--gpus-per-node", "4"], "--gpus-per-node: it excludes --from-cluster"),
        (["--device", "cpu"], "--from-cluster: it excludes --device cpu"),
    ],
)
def test_what_excludes_it(llamactl: Run, api: Fake, args: list[str], words: str) -> None:
    result = llamactl("plan", "8b", "--from-cluster", *args)
    assert (result.exit_code, words in result.stderr) == (2, True)
    assert api.asked == []


def test_without_a_kubeconfig(llamactl: Run) -> None:
    result = llamactl("plan", "8b", "--from-cluster")
    assert result.exit_code == 1
    assert "no kubeconfig" in result.stderr


def test_gpus_of_a_driver_alone_are_found_by_what_it_tells(llamactl: Run, api: Fake) -> None:
    api.put("/api/v1/nodes/a", {"metadata": {"name": "a"}, "status": {}})
    told = resource_slice("a", count=4)
    api.put("/apis/resource.k8s.io/v1/resourceslices/s", told)
    result = llamactl("plan", "8b", "--from-cluster")
    assert result.exit_code == 0
    assert "Found 4 NVIDIA-H100-80GB-HBM3 on a" in result.stderr

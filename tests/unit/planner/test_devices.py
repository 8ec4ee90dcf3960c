"""ResourceSlices read as nodes that have GPUs."""

from __future__ import annotations

from typing import Any

from tests.support.builders import device, merged, node, resource_slice

from llama_operator.planner.devices import COUNT, MEMORY, PRODUCT, as_nodes, slim_slice

Object = dict[str, Any]
DRIVER = "gpu.nvidia.com"


def seen(*slices: Object, nodes: tuple[Object, ...] | None = None) -> Object:
    (found,) = as_nodes(nodes or (bare(),), map(slim_slice, slices), DRIVER)
    return found


def bare(name: str = "n1") -> Object:
    return {"metadata": {"name": name, "labels": {"zone": "a"}}, "status": {"allocatable": {"cpu": "8"}}}  # fmt: skip


def test_a_node_has_what_its_driver_tells() -> None:
    found = seen(resource_slice("n1", 4))
    labels = found["metadata"]["labels"]
    assert labels[PRODUCT] == "NVIDIA-H100-80GB-HBM3"
    assert (labels[COUNT], labels[MEMORY], labels["zone"]) == ("4", "81559", "a")
    assert found["status"]["allocatable"] == {"cpu": "8", DRIVER: "4"}


def test_names_of_the_drivers_own_domain_are_the_same() -> None:
    told = device("gpu-0")
    told["attributes"] = {f"{DRIVER}/{name}": value for name, value in told["attributes"].items()}
    told["capacity"] = {f"{DRIVER}/memory": told["capacity"]["memory"]}
    found = seen(merged(resource_slice("n1", 1), {"spec": {"devices": [told]}}))
    assert found["metadata"]["labels"][MEMORY] == "81559"


def test_only_the_latest_generation_of_a_pool_counts() -> None:
    found = seen(resource_slice("n1", 8, generation=1), resource_slice("n1", 2, generation=2))
    assert found["metadata"]["labels"][COUNT] == "2"
    second = merged(resource_slice("n1", 2, generation=2), {"metadata": {"name": "other"}})
    both = seen(resource_slice("n1", 2, generation=2), second)
    assert both["metadata"]["labels"][COUNT] == "4"


def test_slices_of_cards_and_of_other_drivers_are_not_cards() -> None:
    mig = merged(resource_slice("n1", 1), {"spec": {"devices": [device("m", kind="mig")]}})
    assert seen(mig) == bare()
    assert seen(resource_slice("n1", 8, driver="dra.net")) == bare()


def test_a_label_of_a_node_without_devices_counts_no_longer_where_a_driver_tells() -> None:
    labelled = node()
    assert as_nodes((labelled,), [], DRIVER) == (labelled,)
    (found,) = as_nodes((labelled,), [slim_slice(resource_slice("n2", 8))], DRIVER)
    assert PRODUCT not in found["metadata"]["labels"]


def test_devices_without_a_product_are_counted_and_nothing_else() -> None:
    nameless = merged(
        resource_slice("n1", 1), {"spec": {"devices": [{"name": "a"}, {"name": "b"}]}}
    )
    found = seen(nameless)
    assert PRODUCT not in found["metadata"]["labels"]
    assert found["status"]["allocatable"][DRIVER] == "2"


def test_little_of_a_slice_is_kept() -> None:
    raw = resource_slice("n1", 8)
    raw["metadata"]["managedFields"] = [{"x": "y" * 1000}]
    assert len(str(slim_slice(raw))) < 1100

"""Devices of dynamic resource allocation, read as nodes that have GPUs. Pure.

A DeviceClass selects devices by an expression of which only the scheduler knows the outcome. By custom
a driver's class of whole GPUs has the driver's own name (gpu.nvidia.com), so the devices of a class are
read as those of the driver of that name; of another class nothing is known but what nodes are labelled.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from llama_operator.api.errors import LlamaError
from llama_operator.api.quantity import MIB, parse_bytes

Object = dict[str, Any]
PRODUCT, MEMORY, COUNT = "nvidia.com/gpu.product", "nvidia.com/gpu.memory", "nvidia.com/gpu.count"
# Whole cards: not their slices, nor those given to virtual machines.
_WHOLE = ("gpu", "amdgpu", "")


def as_nodes(nodes: Sequence[Object], slices: Iterable[Object], driver: str) -> tuple[Object, ...]:
    """Nodes as if a device plugin gave the devices of a driver, and labels told which they are.

    Unchanged where the driver tells of no device anywhere.
    """
    found: dict[str, list[Object]] = defaultdict(list)
    for each in _newest(slices):
        if each["driver"] == driver:
            found[each["node"]] += each["devices"]
    if not any(found.values()):
        return tuple(nodes)
    return tuple(_with(node, found.get(node["metadata"]["name"], []), driver) for node in nodes)


def _newest(slices: Iterable[Object]) -> list[Object]:
    """Those of each pool's latest generation: older ones are about to be removed."""
    every = list(slices)
    latest: dict[tuple[str, str], int] = {}
    for each in every:
        pool = each["driver"], each["pool"]
        latest[pool] = max(latest.get(pool, 0), each["generation"])
    return [each for each in every if each["generation"] == latest[each["driver"], each["pool"]]]


def _with(node: Object, devices: list[Object], driver: str) -> Object:
    meta, status = node["metadata"], node.get("status", {})
    told = (PRODUCT, MEMORY, COUNT)
    own = {name: value for name, value in meta.get("labels", {}).items() if name not in told}
    kinds = Counter((each["product"], each["memory"]) for each in devices if each["product"])
    # A node has cards of one kind, as good as always.
    ((product, memory), count) = next(iter(kinds.most_common(1)), (("", 0), 0))
    if product:
        own |= {PRODUCT: product, COUNT: str(count)}
        own |= {MEMORY: str(memory // MIB)} if memory else {}
    given = {**status.get("allocatable", {}), driver: str(count or len(devices))}
    return {
        **node,
        "metadata": {**meta, "labels": own},
        "status": {**status, "allocatable": given},
    }


def named(obj: Object) -> Object:
    """Its metadata, as far as it tells one from others."""
    names = ("name", "uid", "resourceVersion")
    return {"metadata": {name: obj["metadata"][name] for name in names if name in obj["metadata"]}}


def slim_slice(obj: Object) -> Object:
    """Of a ResourceSlice, which may be large, what devices it tells of and where they are."""
    spec = obj["spec"]
    driver, pool = spec["driver"], spec.get("pool", {})
    devices = [_device(each, driver) for each in spec.get("devices") or ()]
    return {
        "apiVersion": obj.get("apiVersion", ""),
        "kind": obj.get("kind", ""),
        **named(obj),
        "driver": driver,
        "pool": pool.get("name", ""),
        "generation": int(pool.get("generation", 0)),
        "node": spec.get("nodeName", ""),
        "devices": [each for each in devices if each["type"] in _WHOLE],
    }


def _device(device: Object, driver: str) -> Object:
    told = device.get("attributes") or {}
    product = _text(told, "productName", driver).replace(" ", "-")
    held = device.get("capacity") or {}
    memory = held.get("memory") or held.get(f"{driver}/memory") or {}
    return {
        "type": _text(told, "type", driver),
        "product": product,
        "memory": _bytes(memory.get("value", "")),
    }


def _text(told: Object, name: str, driver: str) -> str:
    # A name without a domain is one of the driver's.
    found = told.get(name) or told.get(f"{driver}/{name}") or {}
    return str(found.get("string", ""))


def _bytes(text: str) -> int:
    try:
        return parse_bytes(text, "memory") if text else 0
    except LlamaError:
        return 0

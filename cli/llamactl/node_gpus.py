"""The GPUs of a cluster, as its nodes tell them: product, memory, how many each, which nodes.

Allocatable GPUs count, not labels, where the kubelet reports them: a node whose device plugin is
down has the label and no GPU. GPUs that other pods hold are not subtracted, since that would need
the right to read every pod. Pure but for `read`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from llama_operator.api.errors import LlamaError
from llama_operator.api.quantity import MIB
from llama_operator.planner import gpus
from llama_operator.planner.devices import as_nodes, slim_slice
from llama_operator.planner.gpus import Gpu
from llamactl.errors import CliError

PRODUCTS = {"nvidia": "nvidia.com/gpu.product", "amd": "amd.com/gpu.product-name"}
RESOURCES = {"nvidia": "nvidia.com/gpu", "amd": "amd.com/gpu"}
# Drivers of dynamic resource allocation.
DRIVERS = {"nvidia": "gpu.nvidia.com", "amd": "gpu.amd.com"}
MEMORY, COUNT = "nvidia.com/gpu.memory", "nvidia.com/gpu.count"

Node = Mapping[str, Any]


@dataclass(frozen=True)
class Cards:
    """A kind of GPU: `per_node` of it on each of the named nodes."""

    gpu: Gpu
    per_node: int
    nodes: tuple[str, ...]

    def __str__(self) -> str:
        each = f"{len(self.nodes)} x {self.per_node}" if len(self.nodes) > 1 else str(self.per_node)
        return f"{each} {self.gpu.product} on {', '.join(self.nodes)}"


@dataclass(frozen=True)
class Inventory:
    """The kinds that can be planned for; `notes` says which nodes were left out, and why."""

    cards: tuple[Cards, ...]
    notes: tuple[str, ...]


def read() -> Inventory:
    """The GPUs of the cluster that the running command's flags name. Raises CliError."""
    from llamactl.kube import open_cluster
    from llamactl.reader import Reader
    from llamactl.resources import DEVICE_SLICES, NODES

    kube = open_cluster()
    nodes = kube.list(NODES, everywhere=True)
    # Who may not read them, or has none, plans by what nodes tell.
    slices = Reader(kube).read(lambda: kube.list(DEVICE_SLICES, everywhere=True))
    found = inventory(with_devices(nodes, slices or ()))
    if found.cards:
        return found
    count = len(found.notes)
    raise CliError(
        f"none of the cluster's {count} nodes tells a GPU that can be planned for"
        + "".join(f"; {note}" for note in found.notes[:5]),
        field="--from-cluster",
        fix="GPU feature discovery sets the labels; or name the GPU with --gpu",
        next=kube.settings.kubectl("get", "nodes", "-L", f"{PRODUCTS['nvidia']},{COUNT}"),
    )


def with_devices(nodes: Sequence[Node], slices: Iterable[Node]) -> list[Node]:
    """The nodes, and those that give GPUs by a driver alone as if a device plugin gave them.

    A node that stays as it is stays the same object.
    """
    slim = [slim_slice(dict(each)) for each in slices]
    plain = [dict(node) for node in nodes]
    found: list[Node] = list(nodes)
    for vendor, driver in DRIVERS.items():
        seen = as_nodes(plain, slim, driver)
        for place, node in enumerate(seen):
            count = _allocatable(node, driver)
            if count and not _allocatable(found[place], RESOURCES[vendor]):
                found[place] = _given(node, vendor, count)
    return found


def _given(node: Node, vendor: str, count: int) -> Node:
    meta, status = node["metadata"], node["status"]
    labels = dict(meta["labels"])
    product = labels.pop(PRODUCTS["nvidia"], "")
    labels |= {PRODUCTS[vendor]: product} if product else {}
    held = {**status["allocatable"], RESOURCES[vendor]: str(count)}
    return {
        **node,
        "metadata": {**meta, "labels": labels},
        "status": {**status, "allocatable": held},
    }


def inventory(nodes: Iterable[Node]) -> Inventory:
    """Nodes of the same GPU, memory and count together, in the order of their names."""
    groups: dict[tuple[Gpu, int], list[str]] = defaultdict(list)
    notes = []
    for node in sorted(nodes, key=_name):
        try:
            groups[_cards(node)].append(_name(node))
        except LlamaError as problem:
            notes.append(f"{_name(node)}: {problem.message}")
    cards = [Cards(gpu, count, tuple(names)) for (gpu, count), names in groups.items()]
    return Inventory(tuple(cards), tuple(notes))


def _name(node: Node) -> str:
    return str(node.get("metadata", {}).get("name", ""))


def _cards(node: Node) -> tuple[Gpu, int]:
    """Raises LlamaError that says why the node does not count."""
    labels = node.get("metadata", {}).get("labels") or {}
    vendor = next((each for each, label in PRODUCTS.items() if labels.get(label)), "")
    if not vendor:
        raise LlamaError(_unlabelled(node))
    if (node.get("spec") or {}).get("unschedulable"):
        raise LlamaError("is cordoned")
    if not _ready(node):
        raise LlamaError("is not ready")
    count = _count(node, labels, vendor)
    if count < 1:
        raise LlamaError(f"has no allocatable {RESOURCES[vendor]}")
    product = str(labels[PRODUCTS[vendor]])
    return gpus.find(product, _memory(labels.get(MEMORY))), count


def _unlabelled(node: Node) -> str:
    held = [name for name in RESOURCES.values() if _allocatable(node, name)]
    if held:
        return f"has {held[0]}, but no label {PRODUCTS['nvidia']}"
    return "has no GPU label"


def _ready(node: Node) -> bool:
    conditions = (node.get("status") or {}).get("conditions") or []
    states = [each.get("status") for each in conditions if each.get("type") == "Ready"]
    return states not in (["False"], ["Unknown"])


def _allocatable(node: Node, resource: str) -> int | None:
    found = ((node.get("status") or {}).get("allocatable") or {}).get(resource)
    return _whole(found)


def _count(node: Node, labels: Mapping[str, Any], vendor: str) -> int:
    """Allocatable; by the label only where the kubelet reports no resources at all."""
    found = _allocatable(node, RESOURCES[vendor])
    if found is None and not (node.get("status") or {}).get("allocatable"):
        found = _whole(labels.get(COUNT))
    return min(found or 0, 1024)


def _whole(value: Any) -> int | None:
    text = str(value)
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else None


def _memory(label: Any) -> int | None:
    """Bytes of a label of MiB; None where there is none, or none that makes sense."""
    mebibytes = _whole(label)
    return mebibytes * MIB if mebibytes else None

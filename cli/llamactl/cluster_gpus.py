"""The GPUs of a cluster: whether nodes offer them, and whether they say which they are. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from llamactl import view
from llamactl.check import Check, unknown
from llamactl.node_gpus import PRODUCTS, RESOURCES, inventory, with_devices

Object = Mapping[str, Any]

# Labels that say a card is there, by whoever found it.
PRESENT = (
    "nvidia.com/gpu.present",
    "feature.node.kubernetes.io/pci-10de.present",
    "feature.node.kubernetes.io/pci-0302_10de.present",
    "feature.node.kubernetes.io/pci-0300_10de.present",
    "feature.node.kubernetes.io/pci-1002.present",
    *PRODUCTS.values(),
)
SHOWN = 4


def checks(nodes: Sequence[Object] | None, slices: Sequence[Object] = ()) -> list[Check]:
    """The cards that can be planned for, and the device plugin that offers them."""
    if nodes is None:
        return [unknown("GPUs"), unknown("Device plugin")]
    claimable = with_devices(nodes, slices)
    pairs = zip(nodes, claimable, strict=True)
    # What a driver offers needs no device plugin.
    plugged = [node for node, other in pairs if node is other]
    return [_cards(claimable), _plugin(plugged)]


def _cards(nodes: Sequence[Object]) -> Check:
    found = inventory(nodes)
    if found.cards:
        text = "; ".join(map(str, found.cards[:SHOWN]))
        return Check("GPUs", "ok", text, "the operator plans for these")
    bare = [view.name_of(node) for node in nodes if _offers(node)]
    if bare:
        text = (
            f"without the label {PRODUCTS['nvidia']} nothing can be planned: install GPU feature "
            "discovery, or set spec.gpu.product"
        )
        return Check("GPUs", "bad", f"unlabelled on {_names(bare)}", text)
    text = "only servers with spec.engine.device: cpu can run"
    return Check("GPUs", "note", f"none on {len(nodes)} nodes", text)


def _plugin(nodes: Sequence[Object]) -> Check:
    what = "Device plugin"
    offering = [view.name_of(node) for node in nodes if _offers(node)]
    dark = [view.name_of(node) for node in nodes if _has_card(node) and not _offers(node)]
    if dark:
        text = (
            "their labels tell of GPUs that the kubelet does not offer: look at the device plugin "
            "and the driver there (kubectl get pods -A | grep device-plugin)"
        )
        return Check(what, "bad", f"nothing on {_names(dark)}", text)
    if offering:
        return Check(what, "ok", f"on {_names(offering)}", "pods can ask for GPUs")
    return Check(what, "note", "not seen", "no node is known to have a GPU")


def _names(names: Sequence[str]) -> str:
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more} more" if more > 0 else "")


def _offers(node: Object) -> bool:
    held = view.path(node, "status", "allocatable") or {}
    return any(str(held.get(name, "0")) not in ("", "0") for name in RESOURCES.values())


def _has_card(node: Object) -> bool:
    labels = view.path(node, "metadata", "labels") or {}
    return any(labels.get(name) not in (None, "", "false") for name in PRESENT)

"""Dynamic resource allocation: whether GPUs can be claimed of a DeviceClass, and of which. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from llamactl import view
from llamactl.check import Check, unknown
from llamactl.cluster_facts import Facts
from llamactl.resources import DEVICE_CLASSES

Object = Mapping[str, Any]

WHAT = "Device classes"
SHOWN = 4
BY_PLUGIN = "GPUs are asked for of the device plugin; nothing else needs a class"


def check(facts: Facts) -> Check:
    """Whether spec.gpu.deviceClassName can be used."""
    if DEVICE_CLASSES.version not in facts.groups.get(DEVICE_CLASSES.group, ()):
        text = f"spec.gpu.deviceClassName needs Kubernetes 1.34 or newer. {BY_PLUGIN}"
        return Check(WHAT, "note", "resource.k8s.io/v1 is not served", text)
    if facts.device_classes is None or facts.device_slices is None:
        return unknown(WHAT)
    names = sorted(view.name_of(each) for each in facts.device_classes)
    if not names:
        return Check(WHAT, "note", "none", f"no driver has brought one. {BY_PLUGIN}")
    told = _told(facts.device_slices)
    if not told:
        text = (
            "no driver tells of a device, so what claims one waits: look at the driver's pods "
            "(kubectl get resourceslices, kubectl get pods -A | grep dra)"
        )
        return Check(WHAT, "bad", f"{_some(names)}; no device", text)
    text = f"spec.gpu.deviceClassName can name one. Devices by driver: {told}"
    return Check(WHAT, "ok", _some(names), text)


def _told(slices: Sequence[Object]) -> str:
    counts: dict[str, int] = defaultdict(int)
    for each in slices:
        spec = each.get("spec") or {}
        counts[str(spec.get("driver", ""))] += len(spec.get("devices") or ())
    found = [f"{driver} {count}" for driver, count in sorted(counts.items()) if count]
    return _some(found)


def _some(names: Sequence[str]) -> str:
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more} more" if more > 0 else "")

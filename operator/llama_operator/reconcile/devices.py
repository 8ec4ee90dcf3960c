"""Devices of dynamic resource allocation: what a cluster offers, and which pods hold some. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from llama_operator.planner.devices import named
from llama_operator.reconcile.holders import Amounts, Held

Object = dict[str, Any]


@dataclass(frozen=True)
class Devices:
    """What is known of a cluster's devices. `served`: whether it knows the API at all."""

    served: bool = True
    classes: frozenset[str] = frozenset()
    slices: tuple[Object, ...] = ()


def claimed(claim: Object) -> Object:
    """Of a ResourceClaim which pods have which devices."""
    status = claim.get("status", {})
    results = status.get("allocation", {}).get("devices", {}).get("results", ())
    pods = [each["name"] for each in status.get("reservedFor", ()) if each["resource"] == "pods"]
    namespace = claim["metadata"]["namespace"]
    drivers = Counter(each["driver"] for each in results if not each.get("adminAccess"))
    return {"pods": [(namespace, name) for name in pods], "drivers": drivers}


def by_pod(claims: Iterable[Object]) -> Held:
    """What each pod holds; what several share counts once, for one of them."""
    held: dict[tuple[str, str], Amounts] = defaultdict(dict)
    for each in claims:
        for pod in each["pods"][:1]:
            for driver, count in each["drivers"].items():
                held[pod][driver] = held[pod].get(driver, Decimal(0)) + count
    return held


def slim_class(obj: Object) -> Object:
    """Of a DeviceClass that it is there."""
    return {"apiVersion": obj.get("apiVersion", ""), "kind": obj.get("kind", ""), **named(obj)}

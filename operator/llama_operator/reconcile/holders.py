"""Who holds what of which node: all pods of the cluster, cut down to what they ask for. Pure.

Read when a rollout is about to begin, and never watched: ten thousand pods of others would cost
memory for ever, and a change of each of them CPU, for a question that is asked once a rollout.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from types import MappingProxyType
from typing import Any

from llama_operator.api import labels
from llama_operator.api.errors import LlamaError
from llama_operator.api.quantity import parse
from llama_operator.diagnose.template import stamp

Object = dict[str, Any]
Amounts = dict[str, Decimal]
# What has ended holds nothing, and what has no node yet holds none of it.
ON_NODES = "spec.nodeName!=,status.phase!=Succeeded,status.phase!=Failed"
# (namespace, name) of a pod -> devices by their driver.
Held = Mapping[tuple[str, str], Amounts]

NOTHING = Decimal(0)
_NO_DEVICES: Held = MappingProxyType({})


@dataclass(frozen=True)
class Holder:
    """A pod on a node, and what it holds there. `server`: the deployment that it serves for."""

    node: str
    amounts: Amounts
    namespace: str = ""
    server: str = ""
    stamp: str = ""
    volume: str = ""
    ready: bool = False
    # Which of a LeaderWorkerSet's groups it is of; "" for none.
    group: str = ""
    leaving: bool = False


def holder(pod: Object, devices: Held = _NO_DEVICES) -> Holder:
    """What a pod holds, with the devices that were claimed for it."""
    meta, own = pod["metadata"], pod["metadata"].get("labels", {})
    serves = own.get(labels.COMPONENT) in (labels.SERVER, labels.WORKER)
    return Holder(
        node=pod["spec"].get("nodeName", ""),
        amounts={
            **requests(pod["spec"]),
            **devices.get((meta.get("namespace", ""), meta["name"]), {}),
        },
        namespace=meta.get("namespace", ""),
        server=own.get(labels.DEPLOYMENT, "") if serves else "",
        stamp=stamp(pod) if serves else "",
        volume=own.get(labels.VOLUME, ""),
        ready=answers(pod),
        group=own.get(labels.GROUP_INDEX, ""),
        leaving=bool(meta.get("deletionTimestamp")),
    )


def answers(pod: Object) -> bool:
    """Whether a pod is ready."""
    conditions = pod.get("status", {}).get("conditions", ())
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def requests(spec: Object) -> Amounts:
    """What the scheduler reserves for a pod: its containers together, or the largest of those that
    run before them."""
    held: Amounts = {}
    for each in spec.get("containers", ()):
        held = _together(held, _asked(each))
    for each in spec.get("initContainers", ()):
        stays = each.get("restartPolicy") == "Always"
        held = _together(held, _asked(each)) if stays else _larger(held, _asked(each))
    return _together(held, amounts(spec.get("overhead", {})), {"pods": Decimal(1)})


def _asked(container: Object) -> Amounts:
    wanted = container.get("resources", {})
    # A limit without a request is a request.
    return amounts({**wanted.get("limits", {}), **wanted.get("requests", {})})


def _together(*parts: Amounts) -> Amounts:
    names = {name for part in parts for name in part}
    return {name: sum((part.get(name, NOTHING) for part in parts), NOTHING) for name in names}


def _larger(one: Amounts, other: Amounts) -> Amounts:
    names = {*one, *other}
    return {name: max(one.get(name, NOTHING), other.get(name, NOTHING)) for name in names}


def amounts(quantities: Object) -> Amounts:
    """Quantities as numbers; what is none is left out."""
    found = {}
    for name, text in quantities.items():
        try:
            found[name] = parse(text)
        except LlamaError:
            continue  # not ours to judge
    return found

"""How many more servers of a template the cluster can take now, and the GPUs that are free: pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from llama_operator.api import labels
from llama_operator.api.template import is_group, size_of
from llama_operator.diagnose.template import stamp
from llama_operator.reconcile.holders import NOTHING, Amounts, Holder, amounts, requests
from llama_operator.reconcile.placement import eligible
from llama_operator.render.devices import class_of, count_of

Object = dict[str, Any]


@dataclass(frozen=True)
class Room:
    """`servers` more fit; `free` of `gpus` GPUs are not held, on `nodes` that the pod may run on."""

    servers: int
    free: int
    gpus: int
    nodes: int


def room(
    template: Object,
    nodes: Iterable[Object],
    holders: Sequence[Holder],
    owner: tuple[str, str],
    resource: str,
    replicas: int,
) -> Room:
    """What is free for pods of `template`, whose GPUs are counted as `resource`.

    `owner` is namespace and name of the deployment, which wants so many `replicas`.
    """
    lasting = list(holders)
    # LeaderWorkerSet stops no group for being the one that does not answer.
    if not is_group(template):
        lasting = _lasting(holders, owner, stamp(template), replicas)
    takers = _beside(eligible(nodes, template["spec"]), template, lasting, owner[0])
    held = _held(lasting)
    need = {**requests(template["spec"]), **_claimed(template)}
    left = [_left(node, held[node["metadata"]["name"]]) for node in takers]
    return Room(
        # The pods of a group ask for the same each.
        servers=sum(_times(need, each) for each in left) // size_of(template),
        free=sum(max(0, int(each.get(resource, NOTHING))) for each in left),
        gpus=sum(int(_given(node).get(resource, NOTHING)) for node in takers),
        nodes=len(takers),
    )


def _claimed(template: Object) -> Amounts:
    named = class_of(template)
    return {named: Decimal(count_of(template))} if named else {}


def _lasting(
    holders: Sequence[Holder], owner: tuple[str, str], wanted: str, replicas: int
) -> list[Holder]:
    """Without the servers that stop before a new one starts.

    Under a surge a Deployment stops old servers that do not answer first, but never so many that
    fewer than `replicas` are left, those that start not counted. They are too many only where a
    rollout was edited while it rolled; else a dead old server keeps its GPUs until a new one answers.
    """
    ours = [each for each in holders if _counted(each, owner)]
    starting = sum(each.stamp == wanted and not each.ready for each in ours)
    spare = max(0, len(ours) - starting - replicas)
    silent = [each for each in ours if each.stamp != wanted and not each.ready]
    going = {id(each) for each in silent[:spare]}
    return [each for each in holders if id(each) not in going]


def _counted(holder: Holder, owner: tuple[str, str]) -> bool:
    """What ends already holds its GPUs until it has, and is no server to its Deployment."""
    ours = (holder.namespace, holder.server) == owner
    return ours and not holder.leaving and not holder.group


def _beside(
    nodes: list[Object], template: Object, holders: Iterable[Holder], namespace: str
) -> list[Object]:
    """Only the node whose pods mount the volume already, where only one node can."""
    rules = template["spec"].get("affinity", {}).get("podAffinity", {})
    terms = rules.get("requiredDuringSchedulingIgnoredDuringExecution", ())
    volume = template["metadata"].get("labels", {}).get(labels.VOLUME, "")
    together = any(
        labels.VOLUME in term.get("labelSelector", {}).get("matchLabels", {}) for term in terms
    )
    mounting = {
        each.node for each in holders if each.namespace == namespace and each.volume == volume
    }
    if not together or not mounting:
        return nodes
    return [node for node in nodes if node["metadata"]["name"] in mounting]


def _held(holders: Iterable[Holder]) -> dict[str, Amounts]:
    held: dict[str, Amounts] = defaultdict(dict)
    for each in holders:
        on_node = held[each.node]
        for name, amount in each.amounts.items():
            on_node[name] = on_node.get(name, NOTHING) + amount
    return held


def _given(node: Object) -> Amounts:
    return amounts(node.get("status", {}).get("allocatable", {}))


def _left(node: Object, held: Amounts) -> Amounts:
    return {name: amount - held.get(name, NOTHING) for name, amount in _given(node).items()}


def _times(need: Amounts, left: Amounts) -> int:
    counts = [left.get(name, NOTHING) // amount for name, amount in need.items() if amount > 0]
    return max(0, int(min(counts, default=NOTHING)))

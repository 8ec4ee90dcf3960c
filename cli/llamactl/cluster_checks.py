"""What the facts of a cluster mean for Llama models: one check after another. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any, Literal

from llamactl import cluster_devices, cluster_gpus, cluster_storage, crd_fields, rights, view
from llamactl.check import Check, unknown
from llamactl.cluster_facts import Facts

Object = Mapping[str, Any]

LEAST_KUBERNETES = (1, 30)
# A lease is renewed every few seconds; clocks of two machines differ.
LEASE_SECONDS = 120.0
FIELDS_SHOWN = 3
UPGRADE = "llama-operator manifests --crds-only | kubectl apply --server-side -f -"
INSTALL = "Install the operator (docs/quickstart.md)"


@dataclass(frozen=True)
class AddOn:
    """Something optional: its API groups, and what comes of having it or not."""

    name: str
    groups: tuple[str, ...]
    having: str
    lacking: str


ADD_ONS = (
    AddOn(
        "Prometheus operator",
        ("monitoring.coreos.com",),
        "metrics can be scraped by PodMonitors and ServiceMonitors",
        "scrape the metrics by a configuration of your own (docs/metrics.md)",
    ),
    AddOn(
        "LeaderWorkerSet",
        ("leaderworkerset.x-k8s.io",),
        "groups of pods over several nodes can be made",
        "a replica has to fit on one node",
    ),
    AddOn(
        "Kueue",
        ("kueue.x-k8s.io",),
        "servers can wait in a queue for their quota (spec.scheduling.queueName)",
        "servers start as soon as there is a node; spec.scheduling.queueName has no effect",
    ),
    AddOn(
        "Volcano",
        ("scheduling.volcano.sh",),
        "it can place all ranks of a server over several nodes or none "
        "(spec.scheduling.schedulerName: volcano)",
        "nothing keeps a part of a server over several nodes from holding GPUs while it waits for "
        "the rest, unless Kueue does",
    ),
    AddOn(
        "KEDA",
        ("keda.sh",),
        "a ScaledObject can scale a LlamaDeployment by vLLM's queue, to zero as well",
        "replicas are set by hand, or by an HPA through a metrics adapter",
    ),
    AddOn(
        "KServe",
        ("serving.kserve.io",),
        "spec.backend kserve can be used; nothing else needs it",
        "spec.backend kserve cannot be used; nothing else needs it",
    ),
    AddOn(
        "Gateway API",
        ("gateway.networking.k8s.io",),
        "an HTTPRoute can lead to a deployment from outside (spec.endpoint.httpRoute)",
        "reach deployments inside the cluster, by an Ingress (spec.endpoint.ingress), or with "
        "llamactl chat",
    ),
    AddOn(
        "Inference Extension",
        ("inference.networking.k8s.io", "inference.networking.x-k8s.io"),
        "requests can go to the server that has their beginning in its cache "
        "(spec.endpoint.routing: PrefixAware)",
        "requests are spread by the Service alone",
    ),
)


def run(facts: Facts, command_version: str, now: datetime | None = None) -> list[Check]:
    """Every check, the needed before the optional."""
    return [
        _kubernetes(facts.version),
        *_crds(facts),
        _operator(facts, command_version, now or datetime.now(UTC)),
        _operator_rights(facts),
        _own_rights(facts),
        *cluster_gpus.checks(facts.nodes, facts.device_slices or ()),
        cluster_devices.check(facts),
        *cluster_storage.checks(facts.classes),
        *(_add_on(each, facts.groups) for each in ADD_ONS),
    ]


def _kubernetes(version: str) -> Check:
    found = re.match(r"v?(\d+)\.(\d+)", version)
    old = found is not None and (int(found[1]), int(found[2])) < LEAST_KUBERNETES
    least = ".".join(map(str, LEAST_KUBERNETES))
    if old:
        return Check("Kubernetes", "bad", version, f"older than {least}; upgrade the cluster")
    return Check("Kubernetes", "ok", version, f"at least {least}" if found else "")


def _crds(facts: Facts) -> Iterator[Check]:
    for known in _known():
        kind = str(known["spec"]["names"]["kind"])
        name = str(known["metadata"]["name"])
        if facts.crds is None:
            yield _crd_by_group(kind, facts)
        else:
            yield _crd(kind, facts.crds.get(name), known)


@cache
def _known() -> tuple[Object, ...]:
    from llama_operator.api.crd import all_crds

    return tuple(all_crds())


def _crd_by_group(kind: str, facts: Facts) -> Check:
    """Who may not read CRDs still sees the API that they make."""
    versions = facts.groups.get("llamactl.dev")
    if versions:
        text = "its fields cannot be compared without the right to read CRDs"
        return Check(f"CRD {kind}", "unknown", ", ".join(versions), text)
    return Check(f"CRD {kind}", "bad", "not installed", INSTALL)


def _crd(kind: str, there: Object | None, known: Object) -> Check:
    what = f"CRD {kind}"
    version = str(known["spec"]["versions"][0]["name"])
    if there is None:
        return Check(what, "bad", "not installed", INSTALL)
    if not crd_fields.served(there, version):
        text = f"the cluster does not serve {version}, which this command speaks: {UPGRADE}"
        return Check(what, "bad", "another version", text)
    lacking, extra = crd_fields.differences(there, known, version)
    if lacking:
        text = f"older than this command: it lacks {_some(lacking)}. Upgrade it: {UPGRADE}"
        return Check(what, "bad", version, text)
    if extra:
        text = f"newer than this command, which does not know {_some(extra)}: upgrade llamactl"
        return Check(what, "note", version, text)
    return Check(what, "ok", version, "of the same fields as this command")


def _some(fields: Sequence[str]) -> str:
    more = len(fields) - FIELDS_SHOWN
    return ", ".join(fields[:FIELDS_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _operator(facts: Facts, command: str, now: datetime) -> Check:
    what = "Operator"
    holder = _holder(facts.leases or (), now)
    found = facts.operators or ()
    ready = sum(int(view.path(each, "status", "readyReplicas") or 0) for each in found)
    if found and not ready:
        place = view.path(found[0], "metadata", "namespace")
        text = f"no pod of it is ready: kubectl -n {place} get pods; until then nothing changes"
        return Check(what, "bad", f"{view.name_of(found[0])} in {place}", text)
    if found or holder:
        version = (
            view.path(found[0], "metadata", "labels", "app.kubernetes.io/version") if found else ""
        )
        said = f"{ready} ready" if found else f"leader {holder}"
        return Check(
            what, _same(version, command), f"{said} {version or ''}".strip(), _age(version, command)
        )
    if facts.operators is None or facts.leases is None:
        return unknown(what)
    return Check(what, "bad", "not running", f"nothing that is applied will be done. {INSTALL}")


def _same(version: Any, command: str) -> Literal["ok", "note"]:
    return "note" if version and version != command else "ok"


def _age(version: Any, command: str) -> str:
    if _same(version, command) == "note":
        return f"this command is {command}; use the same version of both"
    return "it reconciles"


def _holder(leases: Sequence[Object], now: datetime) -> str:
    """Who leads at present; a lease is left behind by an operator that is gone."""
    for lease in leases:
        renewed = str(view.path(lease, "spec", "renewTime") or "")
        holder = str(view.path(lease, "spec", "holderIdentity") or "")
        if renewed and holder:
            age = (now - datetime.fromisoformat(renewed)).total_seconds()
            if age < LEASE_SECONDS:
                return holder.partition("_")[0]
    return ""


def _operator_rights(facts: Facts) -> Check:
    what = "Operator's rights"
    if facts.operator_rules is None:
        return unknown(what)
    if not facts.operator_rules:
        return Check(what, "note", "no role of it", "it may run with an account of another name")
    lacks = rights.missing(_needed(), facts.operator_rules)
    if lacks:
        text = "it will be refused; add the rules below to its role, or install this version's"
        return Check(what, "bad", "not complete", text, lacks)
    return Check(what, "ok", "complete", "its role has every rule that this version needs")


@cache
def _needed() -> list[tuple[str, list[str], list[str]]]:
    from llama_operator.install import manifests

    roles = [obj for obj in manifests("x") if obj["kind"] in ("ClusterRole", "Role")]
    rules = [rule for role in roles for rule in role["rules"]]
    return [(rule["apiGroups"][0], rule["resources"], rule["verbs"]) for rule in rules]


def _own_rights(facts: Facts) -> Check:
    what = "Your rights"
    if facts.own_rules is None:
        return unknown(what)
    lacks = rights.missing(rights.OURS, facts.own_rules)
    where = f"in namespace {facts.namespace}"
    if lacks:
        text = "some commands will be refused; ask for a role with the rules below"
        return Check(what, "note", f"limited {where}", text, lacks)
    return Check(what, "ok", f"all {where}", "every command of llamactl may be used")


def _add_on(each: AddOn, groups: Mapping[str, Sequence[str]]) -> Check:
    found = next((name for name in each.groups if name in groups), "")
    if found:
        return Check(each.name, "ok", ", ".join(groups[found]), each.having)
    return Check(each.name, "note", "not found", each.lacking)

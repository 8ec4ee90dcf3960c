"""The real Kueue: its definitions and its manager, built from its module, as a process."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from tests.support import definitions, gomodule, webhooks
from tests.support.cluster import Cluster
from tests.support.cluster.paths import tool_cache
from tests.support.once import once

Object = dict[str, Any]
MODULE, VERSION = "sigs.k8s.io/kueue", "v0.17.0"
# Of the module's content, as Go's checksum database has it.
SUM = "h1:7hzb38M4eKGzYW+CFv2s1L+swzzacUCHOCXxZmAV90I="
MANAGER = "kueue-manager"
NAMESPACE = "kueue-system"
# What the manager looks for even where it gives no metrics, at a place that only root may write to.
_FIXED, _ANYWHERE = '"/etc/kueue/metrics/certs"', 'os.Getenv("KUEUE_METRICS_CERTS")'
_MAIN = "cmd/kueue/main.go"
_HANDLED = ("batch/job", "pod", "deployment", "leaderworkerset.x-k8s.io/leaderworkerset")


def source() -> Path:
    """Where the module lies."""
    return gomodule.directory(f"{MODULE}@{VERSION}", SUM)


def program() -> Path:
    """The manager; five to ten minutes where it is not there yet."""
    directory = tool_cache() / f"{MANAGER}-{VERSION}"
    once(directory, f"1 {SUM}", lambda: _build(directory / MANAGER))
    return directory / MANAGER


def _build(made: Path) -> None:
    made.parent.mkdir(parents=True)
    with tempfile.TemporaryDirectory(prefix="kueue-") as scratch:
        # Go builds a module of its cache only as it is.
        own = shutil.copytree(source(), Path(scratch) / "kueue", copy_function=shutil.copyfile)
        text = (own / _MAIN).read_text()
        if _FIXED not in text:
            raise ValueError(f"{_MAIN} of {MODULE} {VERSION} names no {_FIXED}")
        (own / _MAIN).write_text(text.replace(_FIXED, _ANYWHERE))
        gomodule.build(own, "./cmd/kueue", made)


def install(cluster: Cluster, directory: Path) -> None:
    """Definitions, the manager and its webhooks; it ends with the cluster."""
    made = program()
    define(cluster)
    cluster.kubectl("create", "namespace", NAMESPACE)
    place = webhooks.Place.made(cluster, "kueue", directory / "kueue")
    settings = place.certs / "config.yaml"
    settings.write_text(json.dumps(_settings(place)))
    argv = (str(made), f"--config={settings}", "--feature-gates=VisibilityOnDemand=false")
    webhooks.start(cluster, MANAGER, argv, place, KUEUE_METRICS_CERTS=str(place.certs))
    webhooks.apply(cluster, _webhooks(place.reached))


def define(cluster: Cluster) -> None:
    """Install the definitions alone, all of one version: nothing is converted."""
    for crd in sorted((source() / "config/components/crd/bases").glob("*.yaml")):
        group, _, plural = crd.stem.partition("_")
        definitions.define(cluster, crd, f"{plural}.{group}")


@contextmanager
def installed(cluster: Cluster, directory: Path) -> Iterator[None]:
    """There for a while, in a cluster that others use as well."""
    install(cluster, directory)
    try:
        yield
    finally:
        remove(cluster)


def remove(cluster: Cluster) -> None:
    """All but the definitions."""
    webhooks.stop(cluster, MANAGER, _webhooks(webhooks.NAMES_ONLY))
    cluster.kubectl("delete", "namespace", NAMESPACE)


def queue(name: str, namespace: str, quota: Object) -> list[Object]:
    """A LocalQueue, its ClusterQueue, and the one flavour: so much of each resource."""
    version = "kueue.x-k8s.io/v1beta2"
    flavor = {
        "apiVersion": version,
        "kind": "ResourceFlavor",
        "metadata": {"name": "plain"},
    }
    whole = {
        "apiVersion": version,
        "kind": "ClusterQueue",
        "metadata": {"name": name},
        "spec": {"namespaceSelector": {}, "resourceGroups": [_group(quota)]},
    }
    local = {
        "apiVersion": version,
        "kind": "LocalQueue",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"clusterQueue": name},
    }
    return [flavor, whole, local]


def _group(quota: Object) -> Object:
    resources = [{"name": name, "nominalQuota": amount} for name, amount in quota.items()]
    return {
        "coveredResources": list(quota),
        "flavors": [{"name": "plain", "resources": resources}],
    }


def _settings(place: webhooks.Place) -> Object:
    return {
        **place.configuration(),
        "apiVersion": "config.kueue.x-k8s.io/v1beta2",
        "kind": "Configuration",
        "namespace": NAMESPACE,
        "integrations": {"frameworks": list(_HANDLED)},
    }


def _webhooks(reached: tuple[str, str]) -> list[Object]:
    """As Kueue's own, but for the address."""
    manifest = source() / "config/components/webhook/manifests.yaml"
    found = list(yaml.safe_load_all(manifest.read_text()))
    for each in found:
        each["metadata"]["name"] = f"kueue-{each['metadata']['name']}"
        for webhook in each["webhooks"]:
            webhooks.point(webhook, reached)
            webhook["namespaceSelector"] = _NOT_SYSTEM
    return found


# As Kueue installs them: neither the cluster's own pods nor Kueue's wait.
_NOT_SYSTEM: Object = {
    "matchExpressions": [
        {
            "key": "kubernetes.io/metadata.name",
            "operator": "NotIn",
            "values": ["kube-system", NAMESPACE],
        }
    ]
}

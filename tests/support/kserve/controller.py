"""KServe's real controller of LLMInferenceServices.

The Gateway that it puts routes on is not run: what that would say of them is played.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from tests.support import gateway, webhooks
from tests.support.cluster import Cluster
from tests.support.kserve import LLM, LLM_PRESETS, define_llm, own, source
from tests.support.kserve.own import NAMESPACE

Object = dict[str, Any]
NAME = "llmisvc"
# By KServe's ConfigMap: Gateway and namespace.
GATEWAY = "kserve-ingress-gateway"
_OF_GATEWAY = (gateway.ROUTES, gateway.GATEWAYS, gateway.CLASSES)


def program() -> Path:
    """The program; three minutes where it is not there yet."""
    return own.program(NAME, "./cmd/llmisvc")


def install(cluster: Cluster, directory: Path) -> None:
    """Definitions, presets and settings, and the controller; it ends with the cluster."""
    made = program()
    gateway.define(cluster, *_OF_GATEWAY)
    _settings(cluster)
    define_llm(cluster, LLM_PRESETS, LLM)
    presets = sorted((source() / "config/llmisvcconfig").glob("config-*.yaml"))
    for preset in presets:
        cluster.kubectl("apply", "--server-side", "-n", NAMESPACE, "-f", str(preset))
    reached = own.start(cluster, made, directory / NAME, "--metrics-secure=false")
    for configuration in _webhooks():
        for webhook in configuration["webhooks"]:
            webhooks.point(webhook, reached)
        webhooks.apply(cluster, [configuration])


@contextmanager
def installed(cluster: Cluster, directory: Path) -> Iterator[None]:
    """There for a while, in a cluster that others use as well."""
    install(cluster, directory)
    try:
        yield
    finally:
        # First what it has a finalizer on, then the webhooks, which nothing could pass without it.
        cluster.kubectl("delete", "crd", LLM, LLM_PRESETS)
        webhooks.stop(cluster, NAME, _webhooks())
        gateway.remove(cluster, *_OF_GATEWAY)
        cluster.kubectl("delete", "namespace", NAMESPACE)


def _settings(cluster: Cluster) -> None:
    """Its namespace, and its ConfigMap as it comes."""
    cluster.kubectl("create", "namespace", NAMESPACE)
    settings = source() / "config/configmap/inferenceservice.yaml"
    cluster.kubectl("apply", "--server-side", "-n", NAMESPACE, "-f", str(settings))


def _webhooks() -> list[Object]:
    """Those of the kind and version that we write, as KServe's own but for their names."""
    found = yaml.safe_load_all((source() / "config/webhook/llmisvc/manifests.yaml").read_text())
    return [each for each in map(_ours, found) if each["webhooks"]]


def _ours(configuration: Object) -> Object:
    kept = [each for each in configuration["webhooks"] if _of_llm(each)]
    name = f"{NAME}-{configuration['metadata']['name']}"
    return {**configuration, "metadata": {"name": name}, "webhooks": kept}


def _of_llm(webhook: Object) -> bool:
    return any(
        "llminferenceservices" in rule["resources"] and "v1alpha2" in rule["apiVersions"]
        for rule in webhook["rules"]
    )

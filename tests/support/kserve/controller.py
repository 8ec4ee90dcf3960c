"""KServe's real controller of LLMInferenceServices, built from its module, as a process.

It runs with the administrator's rights. Its webhooks are reached at an address instead of by a Service,
under an authority made for this. The Gateway that it puts routes on is not run: what that would say
of them is played.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from tests.support import gateway
from tests.support.cluster import Cluster, ClusterError
from tests.support.cluster.paths import tool_cache
from tests.support.cluster.pki import Authority
from tests.support.cluster.ports import held
from tests.support.cluster.processes import Command
from tests.support.kserve import LLM, LLM_PRESETS, SUM, VERSION, define_llm, source
from tests.support.once import once
from tests.support.stack import answers, wait_for

Object = dict[str, Any]
NAME, NAMESPACE = "llmisvc", "kserve"
# By KServe's ConfigMap: Gateway and namespace.
GATEWAY = "kserve-ingress-gateway"
BUILD_SECONDS = 1800
_OF_GATEWAY = (gateway.ROUTES, gateway.GATEWAYS, gateway.CLASSES)


def program() -> Path:
    """The program; three minutes where it is not there yet.

    By the module's own go.mod, whose replacements would not count in a module that needs it.
    """
    directory = tool_cache() / f"{NAME}-{VERSION}"
    once(directory, f"1 {SUM}", lambda: _build(directory))
    return directory / NAME


def _build(directory: Path) -> None:
    directory.mkdir(parents=True)
    command = ["go", "build", "-trimpath", "-ldflags", "-s -w", "-o", str(directory / NAME)]
    done = subprocess.run(
        [*command, "./cmd/llmisvc"],
        cwd=source(),
        env={**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly"},
        capture_output=True,
        text=True,
        timeout=BUILD_SECONDS,
        check=False,
    )
    if done.returncode:
        raise ClusterError(f"building {NAME} failed:\n{done.stderr[-2000:]}")


def install(cluster: Cluster, directory: Path) -> None:
    """Definitions, presets and settings, and the controller; it ends with the cluster."""
    made = program()
    gateway.define(cluster, *_OF_GATEWAY)
    _settings(cluster)
    define_llm(cluster, LLM_PRESETS, LLM)
    presets = sorted((source() / "config/llmisvcconfig").glob("config-*.yaml"))
    for preset in presets:
        cluster.kubectl("apply", "--server-side", "-n", NAMESPACE, "-f", str(preset))
    _start(cluster, made, directory / NAME)


@contextmanager
def installed(cluster: Cluster, directory: Path) -> Iterator[None]:
    """There for a while, in a cluster that others use as well."""
    install(cluster, directory)
    try:
        yield
    finally:
        # First what it has a finalizer on, then the webhooks, which nothing could pass without it.
        cluster.kubectl("delete", "crd", LLM, LLM_PRESETS)
        names = [f"{each['kind']}/{each['metadata']['name']}" for each in _webhooks("", "")]
        cluster.kubectl("delete", *names)
        cluster.processes.stop([NAME])
        cluster.processes.forget([NAME])
        gateway.remove(cluster, *_OF_GATEWAY)
        cluster.kubectl("delete", "namespace", NAMESPACE)


def _settings(cluster: Cluster) -> None:
    """Its namespace, and its ConfigMap as it comes."""
    cluster.kubectl("create", "namespace", NAMESPACE)
    settings = source() / "config/configmap/inferenceservice.yaml"
    cluster.kubectl("apply", "--server-side", "-n", NAMESPACE, "-f", str(settings))


def _start(cluster: Cluster, made: Path, directory: Path) -> None:
    host = cluster.host_address
    # Where controller-runtime looks for a certificate, below the directory for temporary files.
    certs = directory / "k8s-webhook-server/serving-certs"
    authority = Authority(certs)
    authority.create()
    authority.server("tls", NAME, [host])
    with held(2) as (port, health):
        pass
    argv = (
        *(str(made), f"--webhook-port={port}", f"--health-probe-addr={host}:{health}"),
        *("--metrics-addr=0", "--metrics-secure=false"),
    )
    env = (
        *(("KUBECONFIG", str(cluster.kubeconfig)), ("TMPDIR", str(directory))),
        ("POD_NAMESPACE", NAMESPACE),
    )
    cluster.processes.start(Command(NAME, argv, env))
    wait_for(lambda: answers(f"http://{host}:{health}/readyz"), 60, "KServe's controller")
    ca = base64.b64encode(authority.ca.certificate.read_bytes()).decode()
    for webhook in _webhooks(f"https://{host}:{port}", ca):
        cluster.kubectl("apply", "--server-side", "-f", "-", input=json.dumps(webhook))


def _webhooks(address: str, ca: str) -> list[Object]:
    """Those of the kind and version that we write, as KServe's own but for the address."""
    found = yaml.safe_load_all((source() / "config/webhook/llmisvc/manifests.yaml").read_text())
    return [each for each in (_ours(obj, address, ca) for obj in found) if each["webhooks"]]


def _ours(configuration: Object, address: str, ca: str) -> Object:
    kept = [each for each in configuration["webhooks"] if _of_llm(each)]
    for webhook in kept:
        path = webhook["clientConfig"].pop("service")["path"]
        webhook["clientConfig"] |= {"url": f"{address}{path}", "caBundle": ca}
    name = f"{NAME}-{configuration['metadata']['name']}"
    return {**configuration, "metadata": {"name": name}, "webhooks": kept}


def _of_llm(webhook: Object) -> bool:
    return any(
        "llminferenceservices" in rule["resources"] and "v1alpha2" in rule["apiVersions"]
        for rule in webhook["rules"]
    )

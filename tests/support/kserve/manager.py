"""KServe's real controller of InferenceServices, built from its module, as a process.

It runs with the administrator's rights. Its webhooks are reached at an address instead of by a Service,
under an authority made for this. Its settings are those that it comes with, but for the mode that
needs no Knative.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import yaml

from tests.support import definitions, kserve
from tests.support.cluster import Cluster, ClusterError
from tests.support.cluster.paths import tool_cache
from tests.support.cluster.pki import Authority
from tests.support.cluster.ports import held
from tests.support.cluster.processes import Command
from tests.support.once import once
from tests.support.stack import answers, wait_for

Object = dict[str, Any]
NAME, NAMESPACE = "kserve-manager", "kserve"
BUILD_SECONDS = 1800
# What it watches besides; without them it does not start.
_OTHERS = ("servingruntimes", "clusterservingruntimes", "inferencegraphs", "trainedmodels")
_MODE = {"defaultDeploymentMode": "Standard"}


def program() -> Path:
    """The program; a few minutes where it is not there yet.

    By the module's own go.mod, whose replacements would not count in a module that needs it.
    """
    directory = tool_cache() / f"{NAME}-{kserve.VERSION}"
    once(directory, f"1 {kserve.SUM}", lambda: _build(directory))
    return directory / NAME


def _build(directory: Path) -> None:
    directory.mkdir(parents=True)
    command = ["go", "build", "-trimpath", "-ldflags", "-s -w", "-o", str(directory / NAME)]
    done = subprocess.run(
        [*command, "./cmd/manager"],
        cwd=kserve.source(),
        env={**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly"},
        capture_output=True,
        text=True,
        timeout=BUILD_SECONDS,
        check=False,
    )
    if done.returncode:
        raise ClusterError(f"building {NAME} failed:\n{done.stderr[-2000:]}")


def install(cluster: Cluster, directory: Path) -> None:
    """Definitions and settings, and the controller; it ends with the cluster."""
    made = program()
    kserve.define(cluster)
    for kind in _OTHERS:
        crd = kserve.source() / f"config/crd/full/serving.kserve.io_{kind}.yaml"
        definitions.define(cluster, crd, f"{kind}.serving.kserve.io")
    cluster.kubectl("create", "namespace", NAMESPACE)
    cluster.kubectl("apply", "--server-side", "-f", "-", input=json.dumps(_settings()))
    _start(cluster, made, directory / NAME)


def _settings() -> Object:
    file = kserve.source() / "config/configmap/inferenceservice.yaml"
    settings: Object = yaml.safe_load(file.read_text())
    settings["metadata"]["namespace"] = NAMESPACE
    settings["data"]["deploy"] = json.dumps(_MODE)
    return settings


def _start(cluster: Cluster, made: Path, directory: Path) -> None:
    host = cluster.host_address
    # Where controller-runtime looks for a certificate, below the directory for temporary files.
    certs = directory / "k8s-webhook-server/serving-certs"
    authority = Authority(certs)
    authority.create()
    authority.server("tls", NAME, [host])
    with held(2) as (port, health):
        pass
    argv = (str(made), f"--webhook-port={port}", f"--health-probe-addr={host}:{health}")
    env = (
        *(("KUBECONFIG", str(cluster.kubeconfig)), ("TMPDIR", str(directory))),
        ("POD_NAMESPACE", NAMESPACE),
    )
    cluster.processes.start(Command(NAME, (*argv, "--metrics-addr=0"), env))
    wait_for(lambda: answers(f"http://{host}:{health}/readyz"), 60, "KServe's controller")
    ca = base64.b64encode(authority.ca.certificate.read_bytes()).decode()
    for webhook in _webhooks(f"https://{host}:{port}", ca):
        cluster.kubectl("apply", "--server-side", "-f", "-", input=json.dumps(webhook))


def _webhooks(address: str, ca: str) -> list[Object]:
    """As KServe's own, but for the address."""
    file = kserve.source() / "config/webhook/manifests.yaml"
    found: list[Object] = list(yaml.safe_load_all(file.read_text()))
    for each in found:
        for webhook in each["webhooks"]:
            path = webhook["clientConfig"].pop("service")["path"]
            webhook["clientConfig"] |= {"url": f"{address}{path}", "caBundle": ca}
    return found

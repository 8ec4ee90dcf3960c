"""KServe's real controller of InferenceServices.

Its settings are those that it comes with, but for the mode that needs no Knative.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from tests.support import definitions, kserve, webhooks
from tests.support.cluster import Cluster
from tests.support.kserve import own
from tests.support.kserve.own import NAMESPACE

Object = dict[str, Any]
NAME = "kserve-manager"
# What it watches besides; without them it does not start.
_OTHERS = ("servingruntimes", "clusterservingruntimes", "inferencegraphs", "trainedmodels")
_MODE = {"defaultDeploymentMode": "Standard"}


def program() -> Path:
    """The program; a few minutes where it is not there yet."""
    return own.program(NAME, "./cmd/manager")


def install(cluster: Cluster, directory: Path) -> None:
    """Definitions and settings, and the controller; it ends with the cluster."""
    made = program()
    kserve.define(cluster)
    for kind in _OTHERS:
        crd = kserve.source() / f"config/crd/full/serving.kserve.io_{kind}.yaml"
        definitions.define(cluster, crd, f"{kind}.serving.kserve.io")
    cluster.kubectl("create", "namespace", NAMESPACE)
    cluster.kubectl("apply", "--server-side", "-f", "-", input=json.dumps(_settings()))
    webhooks.apply(cluster, _webhooks(own.start(cluster, made, directory / NAME)))


def _settings() -> Object:
    file = kserve.source() / "config/configmap/inferenceservice.yaml"
    settings: Object = yaml.safe_load(file.read_text())
    settings["metadata"]["namespace"] = NAMESPACE
    settings["data"]["deploy"] = json.dumps(_MODE)
    return settings


def _webhooks(reached: tuple[str, str]) -> list[Object]:
    """As KServe's own, but for the address."""
    file = kserve.source() / "config/webhook/manifests.yaml"
    found: list[Object] = list(yaml.safe_load_all(file.read_text()))
    for each in found:
        for webhook in each["webhooks"]:
            webhooks.point(webhook, reached)
    return found

"""The real definitions of Gateway API and of its inference extension, from the Go module proxy.

Their controllers are not run: what a Gateway says of a route is played by tests. What they would
set up can be run: a real Envoy (`envoy`) before the real picker (`picker`). The modules are
cached by version, as Go does it, and must have the digest that is written here.
"""

from __future__ import annotations

from pathlib import Path

import yaml

from tests.support import definitions, gomodule
from tests.support.cluster import Cluster

ROUTES, GATEWAYS = "httproutes.gateway.networking.k8s.io", "gateways.gateway.networking.k8s.io"
CLASSES = "gatewayclasses.gateway.networking.k8s.io"
POOLS = "inferencepools.inference.networking.k8s.io"
# What the picker watches besides.
OBJECTIVES = "inferenceobjectives.inference.networking.x-k8s.io"
REWRITES = "inferencemodelrewrites.inference.networking.x-k8s.io"
# Module and version, its digest, and where in it the definition lies.
_API = ("sigs.k8s.io/gateway-api@v1.4.0", "h1:ZwlNM6zOHq0h3WUX2gfByPs2yAEsy/EenYJB78jpQfQ=")
_EXTENSION = (
    "sigs.k8s.io/gateway-api-inference-extension@v1.5.0",
    "h1:w9Awt60cmI1vM7Y6N81h8wDCBP0WkmxpdI7GKY0v070=",
)
_FILES = {
    ROUTES: (*_API, "config/crd/standard/gateway.networking.k8s.io_httproutes.yaml"),
    GATEWAYS: (*_API, "config/crd/standard/gateway.networking.k8s.io_gateways.yaml"),
    CLASSES: (*_API, "config/crd/standard/gateway.networking.k8s.io_gatewayclasses.yaml"),
    POOLS: (*_EXTENSION, "config/crd/bases/inference.networking.k8s.io_inferencepools.yaml"),
    OBJECTIVES: (
        *_EXTENSION,
        "config/crd/bases/inference.networking.x-k8s.io_inferenceobjectives.yaml",
    ),
    REWRITES: (
        *_EXTENSION,
        "config/crd/bases/inference.networking.x-k8s.io_inferencemodelrewrites.yaml",
    ),
}


def definition(name: str) -> Path:
    """The file of a CustomResourceDefinition, as its project releases it."""
    module, digest, path = _FILES[name]
    return gomodule.directory(module, digest) / path


def define(cluster: Cluster, *names: str) -> None:
    """Install definitions, and wait until they are served."""
    for name in names:
        definitions.define(cluster, definition(name), name)


def remove(cluster: Cluster, *names: str) -> None:
    """Take definitions away, and with them all their objects."""
    cluster.kubectl("delete", "crd", *names)


def versions(name: str) -> tuple[str, ...]:
    """The versions that a definition serves."""
    crd = yaml.safe_load(definition(name).read_text())
    return tuple(each["name"] for each in crd["spec"]["versions"] if each["served"])

"""Finds each program of the cluster, and says from where and why not from elsewhere.

Order: KUBEBUILDER_ASSETS (the user asked for it), PATH (only when the minor version is the pinned
one: a kubectl or etcd of another year fails in ways that look like bugs of ours), the cache.
What is not found there is downloaded or built; see `build.py`.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from . import versions
from .errors import ClusterError
from .paths import (
    DNS_MODULE,
    GO_MODULE,
    HELM_MODULE,
    LWS_MODULE,
    PICKER_MODULE,
    POLICY_MODULE,
    REGISTRY_MODULE,
    SIGNING_MODULE,
    VOLCANO_MODULE,
    tool_cache,
)

KUBERNETES = "k8s.io/kubernetes"
ETCD = "go.etcd.io/etcd/server/v3"
COREDNS = "github.com/coredns/coredns"
HELM = "helm.sh/helm/v4"
LWS = "sigs.k8s.io/lws"
VOLCANO = "volcano.sh/volcano"
GATEWAY_EXTENSION = "sigs.k8s.io/gateway-api-inference-extension"
COSIGN = "github.com/sigstore/cosign/v3"
CRANE = "github.com/google/go-containerregistry"
DISTRIBUTION = "github.com/distribution/distribution/v3"
POLICY_CONTROLLER = "github.com/sigstore/policy-controller"


@dataclass(frozen=True)
class Tool:
    """A program: the Go package it is built from and the module that pins its version."""

    name: str
    package: str
    module: str = KUBERNETES
    directory: Path = GO_MODULE
    ours: bool = False

    @property
    def version(self) -> str:
        """Pinned version; for programs of this repository a hash of source and go.mod."""
        return (
            _source_hash(self)
            if self.ours
            else versions.module_version(self.module, self.directory)
        )

    @property
    def cached(self) -> Path:
        """Where the program lies (or will lie) in the cache."""
        return tool_cache() / f"{self.name}-{self.version}" / self.name


CONTROL_PLANE = (
    Tool("etcd", ETCD, ETCD),
    *(
        Tool(name, f"{KUBERNETES}/cmd/{name}")
        for name in ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubectl")
    ),
)
NODE = (
    Tool("kubelet", f"{KUBERNETES}/cmd/kubelet"),
    Tool("kube-proxy", f"{KUBERNETES}/cmd/kube-proxy"),
    Tool("coredns", COREDNS, COREDNS, DNS_MODULE),
    Tool("pause", "./pause", ours=True),
    Tool("device-plugin", "./deviceplugin", ours=True),
)
ALL = CONTROL_PLANE + NODE
# The chart and its tests need it, a cluster does not; it takes three minutes to build.
# LeaderWorkerSet is for servers over several nodes; two minutes.
LWS_MANAGER = Tool("lws-manager", f"{LWS}/cmd", LWS, LWS_MODULE)
HELM_PROGRAM = Tool("helm", f"{HELM}/cmd/helm", HELM, HELM_MODULE)
EXTRAS = (HELM_PROGRAM, LWS_MANAGER)
# What chooses servers behind a gateway; one slow test asks for it.
PICKER = Tool("epp", f"{GATEWAY_EXTENSION}/cmd/epp", GATEWAY_EXTENSION, PICKER_MODULE)
# What a release is signed and pushed with, and where tests push it to.
SIGNING = (
    Tool("cosign", f"{COSIGN}/cmd/cosign", COSIGN, SIGNING_MODULE),
    Tool("crane", f"{CRANE}/cmd/crane", CRANE, SIGNING_MODULE),
)
REGISTRY = Tool("registry", f"{DISTRIBUTION}/cmd/registry", DISTRIBUTION, REGISTRY_MODULE)
# Judges an image by a policy as Sigstore's admission webhook does.
POLICY_TESTER = Tool(
    "policy-tester", f"{POLICY_CONTROLLER}/cmd/tester", POLICY_CONTROLLER, POLICY_MODULE
)
# Publishes devices to claim; of this repository, one slow test asks for it.
DRA_DRIVER = Tool("dra-driver", "./dradriver", ours=True)
# Another scheduler, which places all ranks of a group or none; one slow test asks for it.
VOLCANO_SCHEDULER = Tool("vc-scheduler", f"{VOLCANO}/cmd/scheduler", VOLCANO, VOLCANO_MODULE)
VOLCANO_CONTROLLERS = Tool(
    "vc-controller-manager", f"{VOLCANO}/cmd/controller-manager", VOLCANO, VOLCANO_MODULE
)
SELDOM = (
    PICKER,
    VOLCANO_SCHEDULER,
    VOLCANO_CONTROLLERS,
    DRA_DRIVER,
    *SIGNING,
    REGISTRY,
    POLICY_TESTER,
)


@dataclass(frozen=True)
class Found:
    """Where a tool was found; `path` is None when it has to be made. `skipped` says why not."""

    path: Path | None
    source: str = ""
    skipped: str = ""


def find(tool: Tool) -> Found:
    """Look for `tool` without downloading or building anything."""
    assets = os.environ.get("KUBEBUILDER_ASSETS")
    if assets and os.access(Path(assets) / tool.name, os.X_OK):
        return Found(Path(assets) / tool.name, "KUBEBUILDER_ASSETS")
    path, skipped = (None, "") if tool.ours else _on_path(tool)
    if path:
        return Found(path, "PATH")
    if os.access(tool.cached, os.X_OK):
        return Found(tool.cached, "cache", skipped)
    return Found(None, skipped=skipped)


def path_of(name: str) -> Path:
    """Path of a tool that has been made ready; raises ClusterError when it has not."""
    tool = next(tool for tool in ALL + EXTRAS + SELDOM if tool.name == name)
    found = find(tool)
    if found.path is None:
        raise ClusterError(
            f"{name} {tool.version} is not in {tool_cache()}",
            "Run `python -m tests.support.cluster build`",
        )
    return found.path


@cache
def _on_path(tool: Tool) -> tuple[Path | None, str]:
    place = shutil.which(tool.name)
    if not place:
        return None, ""
    reported = _reported_version(Path(place))
    try:
        if versions.minor(reported) == versions.minor(tool.version):
            return Path(place), ""
    except ClusterError:
        reported = "of unknown version"
    return None, f"{place} is {reported}, wanted the minor version of {tool.version}"


def _reported_version(program: Path) -> str:
    flags = {"kubectl": ("version", "--client"), "coredns": ("-version",), "helm": ("version",)}
    command = [str(program), *flags.get(program.name, ("--version",))]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired) as problem:
        return f"not answering ({problem})"
    lines = (done.stdout or done.stderr).strip().splitlines()
    return lines[0] if lines else "silent"


def _source_hash(tool: Tool) -> str:
    digest = hashlib.sha256()
    sources = sorted((tool.directory / tool.package).glob("*.go"))
    for file in (*sources, tool.directory / "go.mod"):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:12]

"""Tells whether this machine can run a control plane and a node, and what to do where it cannot."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from . import tools
from .errors import ClusterError
from .isolation import run
from .kubelet import missing_programs
from .node import NodeOptions

OTHER_CLUSTER = "or use the cluster of the current kubeconfig (CLUSTER=current)"
# Debian package of each program that may be missing.
PACKAGES = {
    "containerd": "containerd",
    "ctr": "containerd",
    "runc": "runc",
    "iptables": "iptables",
    "conntrack": "conntrack",
    "ip": "iproute2",
    "nsenter": "util-linux",
    "unshare": "util-linux",
    "openssl": "openssl",
    "ptp": "containernetworking-plugins",
    "portmap": "containernetworking-plugins",
    "host-local": "containernetworking-plugins",
    "loopback": "containernetworking-plugins",
}


@dataclass(frozen=True)
class Finding:
    """One check: what was looked at, whether it is well, what to do if it is not."""

    subject: str
    well: bool
    detail: str
    fix: str = ""


def control_plane() -> list[Finding]:
    """What a control plane needs."""
    linux = platform.system() == "Linux"
    return [
        Finding("system", linux, platform.platform(), "Use Linux, " + OTHER_CLUSTER),
        _programs("certificates", [name for name in ["openssl"] if not shutil.which(name)]),
        _tools(),
    ]


def node() -> list[Finding]:
    """What a node needs on top of that; nothing is changed by looking."""
    findings = [_root(), _programs("container programs", missing_programs()), _cgroups()]
    if all(finding.well for finding in findings):
        findings.append(_namespaces())
    return [*findings, _vllm()]


def missing() -> list[str]:
    """Programs of the distribution that this machine lacks."""
    return missing_programs() + [name for name in ["openssl"] if not shutil.which(name)]


def install(programs: Sequence[str]) -> None:
    """Install the Debian packages of the missing programs; raises ClusterError without root."""
    packages = packages_of(programs)
    if not packages:
        return
    command = install_command(packages)
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise ClusterError("installing packages needs root and apt-get", f"Run: {command}")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for step in (["update"], ["install", "-y", "--no-install-recommends", *packages]):
        done = subprocess.run(["apt-get", "-q", *step], env=environment, timeout=900, check=False)
        if done.returncode != 0:
            raise ClusterError(f"apt-get {step[0]} failed with {done.returncode}")


def packages_of(programs: Sequence[str]) -> list[str]:
    """Debian packages that hold the missing programs."""
    return sorted({PACKAGES[name] for name in programs})


def install_command(packages: Sequence[str]) -> str:
    """The command that installs packages by hand."""
    return f"sudo apt-get update && sudo apt-get install {' '.join(packages)}"


def _root() -> Finding:
    well = os.geteuid() == 0
    fix = f"Run as root (sudo -E), {OTHER_CLUSTER}"
    return Finding("root", well, f"user id {os.geteuid()}", fix)


def _programs(subject: str, absent: Sequence[str]) -> Finding:
    detail = f"missing: {', '.join(absent)}" if absent else "all there"
    command = install_command(packages_of(absent))
    return Finding(subject, not absent, detail, f"{command}, {OTHER_CLUSTER}")


def _tools() -> Finding:
    absent = [tool.name for tool in tools.ALL if tools.find(tool).path is None]
    go = shutil.which("go")
    detail = f"to be downloaded or built: {', '.join(absent)}" if absent else "all ready"
    fix = "Install Go (a cold build takes about 9 minutes on 2 cores)"
    return Finding("Kubernetes programs", not absent or bool(go), detail, fix)


def _cgroups() -> Finding:
    roots = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    writable = [root[1] for root in roots if root[2].startswith("cgroup") and _can_write(root[1])]
    fix = f"Mount the cgroup file system writable (a privileged container), {OTHER_CLUSTER}"
    return Finding("control groups", bool(writable), f"{len(writable)} writable", fix)


def _namespaces() -> Finding:
    fix = f"Allow CAP_SYS_ADMIN and CAP_NET_ADMIN (a privileged container), {OTHER_CLUSTER}"
    probe = "ip link add probe type veth peer name probe2 && mount -t tmpfs tmpfs /mnt"
    try:
        run(["unshare", "--mount", "--pid", "--net", "--fork", "sh", "-c", probe])
    except ClusterError as problem:
        return Finding("namespaces", False, problem.message, fix)
    return Finding("namespaces", True, "mounts, processes and network can be private")


def _vllm() -> Finding:
    # Not needed to run pods: without it only the image local/vllm-cpu is left out.
    venv = NodeOptions().vllm
    return Finding(
        "vLLM for CPU", True, str(venv) if venv else "not installed; its image is left out"
    )


def _can_write(path: str) -> bool:
    return os.access(path, os.W_OK)

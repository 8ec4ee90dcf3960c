"""What tests of a cluster have in common: waiting, small pods, and proof that nothing is left."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from . import registry
from .cluster import Cluster
from .doctor import missing, node
from .node import PYTHON_IMAGE
from .storage import RUNTIME_CLASS


def can_run_pods() -> bool:
    """Whether this machine can run a full cluster."""
    return os.geteuid() == 0 and not missing() and all(finding.well for finding in node())


def eventually(check: Callable[[], Any], seconds: float = 30.0) -> Any:
    """The first true value of `check`; fails when there is none in time."""
    deadline = time.monotonic() + seconds
    while not (value := check()):
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s"
        time.sleep(0.1)
    return value


def items(cluster: Cluster, *what: str) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = json.loads(cluster.kubectl("get", *what, "-o", "json"))["items"]
    return listed


def apply(cluster: Cluster, *objects: dict[str, Any]) -> None:
    wrapped = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
    cluster.kubectl("apply", "-f", "-", input=json.dumps(wrapped))


def mentioning(directory: Path) -> list[str]:
    """Command lines of running processes that name the directory."""
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            text = file.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(directory) in text and file.parent.name != str(os.getpid()):
            found.append(text)
    return found


def assert_gone(directory: Path) -> None:
    """Nothing of the cluster that lived in `directory` is left."""
    assert not directory.exists()
    eventually(lambda: not mentioning(directory), 5)
    assert str(directory) not in Path("/proc/mounts").read_text()
    assert directory not in registry.known()


HARDENED = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}


def python_pod(name: str, code: str, **spec: Any) -> dict[str, Any]:
    """A pod that Pod Security `restricted` admits, running Python code of this machine."""
    container = {
        "name": "main",
        "image": PYTHON_IMAGE,
        "command": ["python", "-u", "-c", code],
        "securityContext": HARDENED,
        **spec.pop("container", {}),
    }
    security = {"runAsNonRoot": True, "runAsUser": 12345, "runAsGroup": 12345, "fsGroup": 12345}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {
            "runtimeClassName": RUNTIME_CLASS,
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 1,
            "securityContext": {**security, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [container],
            **spec,
        },
    }


def finished(cluster: Cluster, name: str) -> str:
    """Output of a pod that has ended well."""

    def phase() -> str:
        seen = cluster.kubectl("get", "pod", name, "-o", "jsonpath={.status.phase}")
        return seen if seen in {"Succeeded", "Failed"} else ""

    ended = eventually(phase, 60)
    output = cluster.kubectl("logs", name)
    assert ended == "Succeeded", output
    return output


def claim(name: str, storage_class: str, size: str = "10Mi") -> dict[str, Any]:
    spec = {"storageClassName": storage_class, "accessModes": ["ReadWriteOnce"]}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name},
        "spec": {**spec, "resources": {"requests": {"storage": size}}},
    }


def mounting(name: str) -> dict[str, Any]:
    return {
        "container": {"volumeMounts": [{"name": "data", "mountPath": "/data"}]},
        "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": name}}],
    }


def gpus(count: int) -> dict[str, Any]:
    return {"resources": {"limits": {"nvidia.com/gpu": count}}}

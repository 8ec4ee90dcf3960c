"""Writes kubeconfig files that carry everything in themselves, so that they can be moved."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import yaml

from .pki import Pair


def with_certificate(path: Path, server: str, ca: Path, client: Pair) -> Path:
    """A kubeconfig that authenticates with a client certificate."""
    user = {
        "client-certificate-data": _encoded(client.certificate),
        "client-key-data": _encoded(client.key),
    }
    return _write(path, server, ca, user)


def with_token(path: Path, server: str, ca: Path, token: str, namespace: str = "default") -> Path:
    """A kubeconfig that authenticates with a bearer token."""
    return _write(path, server, ca, {"token": token}, namespace)


def _write(
    path: Path, server: str, ca: Path, user: dict[str, str], namespace: str = "default"
) -> Path:
    cluster = {"server": server, "certificate-authority-data": _encoded(ca)}
    context = {"cluster": "local", "user": "local", "namespace": namespace}
    config: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "local", "cluster": cluster}],
        "users": [{"name": "local", "user": user}],
        "contexts": [{"name": "local", "context": context}],
        "current-context": "local",
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.write_text(yaml.safe_dump(config, sort_keys=False))
    return path


def _encoded(file: Path) -> str:
    return base64.b64encode(file.read_bytes()).decode()

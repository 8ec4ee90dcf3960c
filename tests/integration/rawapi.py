"""Requests to the API server as kubectl makes them, with the whole answer kept.

What a test of admission must see is the list of causes (field, message), which client libraries
fold into one string.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import urllib3
from kubernetes import client, config

Object = dict[str, Any]
PLURALS = {"LlamaDeployment": "llamadeployments", "LlamaWeights": "llamaweights"}


@dataclass(frozen=True)
class Answer:
    """An HTTP status and the object or Status that came with it."""

    status: int
    body: Object

    @property
    def causes(self) -> list[tuple[str, str]]:
        """(field, message) of everything that was found wrong."""
        found = self.body.get("details", {}).get("causes", [])
        return [(each.get("field", ""), each["message"]) for each in found]


class RawApi:
    """Both kinds in one namespace, as the user of a kubeconfig."""

    def __init__(self, kubeconfig: Path, namespace: str = "default") -> None:
        settings = client.Configuration()
        config.load_kube_config(str(kubeconfig), client_configuration=settings)
        self._host = settings.host
        self._namespace = namespace
        self._pool = urllib3.PoolManager(
            ca_certs=settings.ssl_ca_cert,
            cert_file=settings.cert_file,
            key_file=settings.key_file,
            retries=False,
        )

    def create(self, obj: Object, *, dry_run: bool = True) -> Answer:
        """Create under strict validation, as kubectl does by default."""
        return self._send("POST", self._path(obj["kind"]), obj, dry_run)

    def merge(self, kind: str, name: str, patch: Object, *, dry_run: bool = True) -> Answer:
        """A JSON merge patch."""
        return self._send("PATCH", f"{self._path(kind)}/{name}", patch, dry_run)

    def merge_status(self, kind: str, name: str, status: Object) -> Answer:
        """A JSON merge patch of the status subresource."""
        path = f"{self._path(kind)}/{name}/status"
        return self._send("PATCH", path, {"status": status}, False)

    def get(self, kind: str, name: str) -> Object:
        """The stored object."""
        return self._send("GET", f"{self._path(kind)}/{name}", None, False).body

    def delete(self, kind: str, name: str) -> Answer:
        """Delete an object."""
        return self._send("DELETE", f"{self._path(kind)}/{name}", None, False)

    def _path(self, kind: str) -> str:
        return f"/apis/llamactl.dev/v1alpha1/namespaces/{self._namespace}/{PLURALS[kind]}"

    def _send(self, method: str, path: str, body: Object | None, dry_run: bool) -> Answer:
        query = {"fieldValidation": "Strict", **({"dryRun": "All"} if dry_run else {})}
        kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
        answer = self._pool.request(
            method,
            f"{self._host}{path}?{urlencode(query)}" if body is not None else self._host + path,
            body=None if body is None else json.dumps(body),
            headers={"Content-Type": kind},
            timeout=20.0,
        )
        return Answer(answer.status, json.loads(answer.data))

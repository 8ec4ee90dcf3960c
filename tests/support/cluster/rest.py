"""Plain requests to the cluster's API server, for readiness checks and the volume provisioner."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import urllib3

from .errors import ClusterError
from .pki import Pair

Object = dict[str, Any]


class UnreachableError(ClusterError):
    """No answer at all: the server is not there (yet)."""


class RefusedError(ClusterError):
    """The server answered with an error; `status` is the HTTP status."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"HTTP {status}: {text[:300]}")
        self.status = status


@dataclass(frozen=True)
class Access:
    """Where a server is and who asks it."""

    server: str
    ca: Path
    client: Pair


class Rest:
    """Requests as one user; raises UnreachableError or RefusedError."""

    def __init__(self, access: Access, *, timeout_seconds: float = 10.0) -> None:
        self._server = access.server
        self._timeout = timeout_seconds
        self._pool = urllib3.PoolManager(
            ca_certs=str(access.ca),
            cert_file=str(access.client.certificate),
            key_file=str(access.client.key),
            retries=False,
        )

    def get(self, path: str) -> Object:
        """The object at `path`."""
        return self._json(self._request("GET", path))

    def text(self, path: str) -> str:
        """The body at `path` as text, for /readyz and /version."""
        return self._body(self._request("GET", path)).decode()

    def create(self, path: str, body: Object) -> Object:
        """Create an object in the collection `path`."""
        return self._json(self._request("POST", path, body, "application/json"))

    def patch(self, path: str, body: Object, kind: str = "application/merge-patch+json") -> Object:
        """Patch the object at `path`."""
        return self._json(self._request("PATCH", path, body, kind))

    def delete(self, path: str) -> Object:
        """Delete the object at `path`."""
        return self._json(self._request("DELETE", path))

    def watch(self, path: str, seconds: int) -> Iterator[Object]:
        """Events of the collection `path`, for at most `seconds`."""
        query = f"{'&' if '?' in path else '?'}watch=true&timeoutSeconds={seconds}"
        answer = self._request("GET", path + query, timeout=seconds + 10.0, stream=True)
        buffer = b""
        for chunk in answer.stream(65536):
            *lines, buffer = (buffer + chunk).split(b"\n")
            yield from (json.loads(line) for line in lines if line)

    def _request(
        self,
        method: str,
        path: str,
        body: Object | None = None,
        kind: str = "",
        timeout: float = 0.0,
        stream: bool = False,
    ) -> urllib3.BaseHTTPResponse:
        try:
            answer = self._pool.request(
                method,
                self._server + path,
                body=None if body is None else json.dumps(body),
                headers={"Content-Type": kind} if kind else {},
                timeout=timeout or self._timeout,
                preload_content=not stream,
            )
        except urllib3.exceptions.HTTPError as problem:
            raise UnreachableError(f"{method} {self._server}{path}: {problem}") from problem
        if answer.status >= 400:
            raise RefusedError(answer.status, answer.data.decode(errors="replace"))
        return answer

    def _body(self, answer: urllib3.BaseHTTPResponse) -> bytes:
        return bytes(answer.data)

    def _json(self, answer: urllib3.BaseHTTPResponse) -> Object:
        decoded: Object = json.loads(answer.data)
        return decoded

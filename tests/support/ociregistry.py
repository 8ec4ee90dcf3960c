"""A real registry of container images (CNCF's distribution) on this machine's loopback, for a while."""

from __future__ import annotations

import hashlib
import json
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import Message
from pathlib import Path

from tests.support.cluster import build, tools
from tests.support.cluster.ports import held
from tests.support.cluster.progress import Progress
from tests.support.stack import wait_for


@contextmanager
def running(directory: Path) -> Iterator[str]:
    """Host and port of an empty registry; built once by version, in a minute or two."""
    build.ensure([tools.REGISTRY], Progress())
    with held(1) as (port,):
        pass
    host = f"127.0.0.1:{port}"
    config = directory / "registry.json"
    config.write_text(json.dumps(_config(host, directory / "registry")))
    command = [str(tools.path_of("registry")), "serve", str(config)]
    with (
        (directory / "registry.log").open("w") as log,
        subprocess.Popen(command, stdout=log, stderr=log) as served,
    ):
        try:
            wait_for(lambda: _answers(host), 15, f"the registry at {host}")
            yield host
        finally:
            served.terminate()


def _config(host: str, storage: Path) -> dict[str, object]:
    return {
        "version": "0.1",
        "log": {"level": "warn"},
        "storage": {"filesystem": {"rootdirectory": str(storage)}},
        "http": {"addr": host},
    }


def _answers(host: str) -> bool:
    try:
        with urllib.request.urlopen(f"http://{host}/v2/", timeout=2) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def put_blob(repository: str, data: bytes) -> str:
    """Upload bytes; their digest."""
    host, _, name = repository.partition("/")
    started = _request("POST", f"http://{host}/v2/{name}/blobs/uploads/")
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    place = started["Location"]
    _request("PUT", f"{place}{'&' if '?' in place else '?'}digest={digest}", data)
    return digest


def put_manifest(repository: str, reference: str, data: bytes) -> None:
    """Put a manifest or an index under a digest or a tag."""
    host, _, name = repository.partition("/")
    kind = json.loads(data)["mediaType"]
    _request("PUT", f"http://{host}/v2/{name}/manifests/{reference}", data, kind)


def _request(
    method: str, url: str, data: bytes = b"", kind: str = "application/octet-stream"
) -> Message:
    asked = urllib.request.Request(url, data, {"Content-Type": kind}, method=method)  # noqa: S310
    with urllib.request.urlopen(asked, timeout=30) as answer:  # noqa: S310 - of this very registry
        headers: Message = answer.headers
        return headers

"""Release downloads, where the network allows them.

A machine without the internet must notice within seconds: one attempt per host with a short
timeout, and a host that failed once is not asked again. Every download is compared with the
SHA-256 that the project publishes beside it, before it is put into the cache.
"""

from __future__ import annotations

import hashlib
import io
import platform
import tarfile
import urllib.error
import urllib.request
from urllib.parse import urlsplit

from .tools import KUBERNETES, Tool

TIMEOUT_SECONDS = 5.0
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
_unreachable: dict[str, str] = {}


class UnavailableError(Exception):
    """The download did not happen; the text says why."""


def fetch(tool: Tool) -> bytes:
    """The program's bytes, checked; raises UnavailableError at once where the network refuses."""
    arch = _ARCHITECTURES.get(platform.machine())
    if tool.ours or arch is None or platform.system() != "Linux":
        raise UnavailableError(f"no release of {tool.name} for this machine")
    if tool.name == "etcd":
        return _etcd(tool.version, arch)
    if tool.name == "coredns":
        return _coredns(tool.version, arch)
    if tool.name == "helm":
        return _helm(tool.version, arch)
    if tool.module != KUBERNETES:
        raise UnavailableError(f"{tool.name} is built from its module")
    url = f"https://dl.k8s.io/release/{tool.version}/bin/linux/{arch}/{tool.name}"
    return _checked(url, _get(f"{url}.sha256").decode())


def _etcd(version: str, arch: str) -> bytes:
    base = f"https://github.com/etcd-io/etcd/releases/download/{version}"
    name = f"etcd-{version}-linux-{arch}"
    sums = _get(f"{base}/SHA256SUMS").decode().splitlines()
    digest = next((line for line in sums if line.endswith(f"{name}.tar.gz")), "")
    return _member(_checked(f"{base}/{name}.tar.gz", digest), f"{name}/etcd")


def _coredns(version: str, arch: str) -> bytes:
    base = f"https://github.com/coredns/coredns/releases/download/{version}"
    url = f"{base}/coredns_{version.removeprefix('v')}_linux_{arch}.tgz"
    return _member(_checked(url, _get(f"{url}.sha256").decode()), "coredns")


def _helm(version: str, arch: str) -> bytes:
    url = f"https://get.helm.sh/helm-{version}-linux-{arch}.tar.gz"
    return _member(_checked(url, _get(f"{url}.sha256sum").decode()), f"linux-{arch}/helm")


def _checked(url: str, published: str) -> bytes:
    expected = published.split(maxsplit=1)[0] if published.split() else "nothing"
    data = _get(url)
    actual = hashlib.sha256(data).hexdigest()
    if actual != expected:
        raise UnavailableError(f"{url} has SHA-256 {actual}, its publisher says {expected}")
    return data


def _member(archive: bytes, name: str) -> bytes:
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        member = tar.extractfile(name)
        if member is None:
            raise UnavailableError(f"no {name} in the release archive")
        return member.read()


def _get(url: str) -> bytes:
    host = urlsplit(url).netloc
    if host in _unreachable:
        raise UnavailableError(_unreachable[host])
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS) as answer:  # noqa: S310
            body: bytes = answer.read()
            return body
    except (OSError, urllib.error.URLError) as problem:
        _unreachable[host] = f"{host}: {problem}"
        raise UnavailableError(_unreachable[host]) from problem

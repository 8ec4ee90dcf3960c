"""Container images without a builder or a registry: a configuration, a layer and a manifest in tar.

The layer holds only what a process expects of any image (a passwd file, /tmp, mount points); the
programs come from bind mounts of the runtime, or are the few given files.
"""

from __future__ import annotations

import hashlib
import io
import json
import platform
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

PASSWD = "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/tmp:/bin/sh\n"
GROUP = "root:x:0:\nnogroup:x:65534:\n"
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True)
class Image:
    """What goes into an image. `programs` maps paths in the image to files of this machine."""

    name: str
    env: Mapping[str, str] = field(default_factory=dict)
    entrypoint: Sequence[str] = ()
    programs: Mapping[str, Path] = field(default_factory=dict)


def qualified(name: str) -> str:
    """The name under which the runtime keeps an image: `a/b:1` is `docker.io/a/b:1`."""
    first, slash, _ = name.partition("/")
    if not slash:
        return f"docker.io/library/{name}"
    return name if "." in first or ":" in first or first == "localhost" else f"docker.io/{name}"


def archive(image: Image) -> bytes:
    """A docker archive, which `ctr images import` takes. Same input, same bytes."""
    layer = _layer(image)
    digest = hashlib.sha256(layer).hexdigest()
    config = {
        "architecture": _ARCHITECTURES.get(platform.machine(), "amd64"),
        "os": "linux",
        "config": {
            "Env": [f"{name}={value}" for name, value in image.env.items()],
            "Entrypoint": list(image.entrypoint),
            "WorkingDir": "/",
        },
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
        "history": [{"created_by": "tests.support.cluster"}],
    }
    encoded = json.dumps(config, sort_keys=True).encode()
    config_name = f"{hashlib.sha256(encoded).hexdigest()}.json"
    entry = {"Config": config_name, "RepoTags": [qualified(image.name)], "Layers": ["layer.tar"]}
    files = {
        "layer.tar": layer,
        config_name: encoded,
        "manifest.json": json.dumps([entry]).encode(),
    }
    return _tar([(name, content, 0o644) for name, content in files.items()])


def _layer(image: Image) -> bytes:
    files = [("etc/passwd", PASSWD.encode(), 0o644), ("etc/group", GROUP.encode(), 0o644)]
    files += [
        (path.lstrip("/"), source.read_bytes(), 0o755) for path, source in image.programs.items()
    ]
    return _tar(files, directories=(("tmp", 0o1777), ("root", 0o755), ("etc", 0o755)))


def _tar(
    files: Sequence[tuple[str, bytes, int]], directories: Sequence[tuple[str, int]] = ()
) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, mode in directories:
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode = tarfile.DIRTYPE, mode
            tar.addfile(entry)
        for name, content, mode in files:
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), mode
            tar.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()

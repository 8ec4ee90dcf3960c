"""The runtime `host-python`: containers that see this machine's Python and virtual environments.

vLLM's CPU build is 5 GB; as a read-only bind mount it costs nothing, and the image is a few bytes.
Only code is mounted, never the project's root: the state directory with the administrator's key
may lie in it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from .isolation import run
from .paths import PROJECT, project_venv, transformers_venv

SYSTEM = ("/usr", "/lib", "/lib64", "/bin", "/sbin", "/etc/ssl/certs", "/etc/ld.so.cache")


def mounts(vllm_venv: Path | None) -> list[Path]:
    """What containers see, parents first, nothing twice."""
    wanted = [Path(path) for path in SYSTEM]
    wanted += [Path(sys.base_prefix), project_venv(), PROJECT / "operator", PROJECT / "cli"]
    if vllm_venv:
        wanted += [_base_of(vllm_venv), vllm_venv, transformers_venv()]
    kept: list[Path] = []
    for path in wanted:
        if path.exists() and not any(path.is_relative_to(other) for other in kept):
            kept.append(path)
    return kept


def runtime_spec(paths: Iterable[Path]) -> dict[str, Any]:
    """An OCI runtime spec with the mounts, on top of containerd's own default.

    `runc spec` will not do as a base: it asks for a terminal. The rlimits are dropped because a
    root without CAP_SYS_RESOURCE may not set them.
    """
    spec: dict[str, Any] = json.loads(run(["ctr", "oci", "spec"]))
    spec["process"].pop("rlimits", None)
    spec["mounts"] += [_bind(path) for path in paths]
    return spec


def _bind(path: Path) -> dict[str, Any]:
    options = ["rbind", "ro", "nosuid", "nodev"]
    target, source = str(path), str(path.resolve())
    return {"destination": target, "type": "bind", "source": source, "options": options}


def _base_of(venv: Path) -> Path:
    """Installation that a virtual environment's interpreter comes from (PEP 405's `home`)."""
    for line in (venv / "pyvenv.cfg").read_text().splitlines():
        key, _, value = line.partition("=")
        if key.strip() == "home":
            return Path(value.strip()).parent
    return Path(sys.base_prefix)

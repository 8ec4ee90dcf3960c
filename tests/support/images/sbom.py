"""What an image is made of, as CycloneDX: the lock, and the files that were taken for it.

Debian's or the base image's own packages are not listed one by one: the base is one component, by
its digest, and its publisher has a list of its own.
"""

from __future__ import annotations

import email
import hashlib
import re
import zipfile
from collections.abc import Iterable
from email.message import Message
from pathlib import Path
from typing import Any

from tests.support.images.lock import Locked

Object = dict[str, Any]


def document(
    locked: Iterable[Locked], wheels: Iterable[Path], base: str, version: str, revision: str = ""
) -> Object:
    """The list; raises ValueError where a locked package has no wheel, or one of another hash."""
    by_name = {_normal(wheel.name.split("-")[0]): wheel for wheel in wheels}
    components = [_component(each, by_name.get(_normal(each.name))) for each in locked]
    digest = base.partition("@sha256:")[2]
    hashes = [{"alg": "SHA-256", "content": digest}] if digest else []
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"component": _subject(version, revision)},
        "components": [
            {"type": "container", "bom-ref": "base", "name": base, "hashes": hashes},
            *components,
        ],
    }


def _subject(version: str, revision: str) -> Object:
    subject: Object = {"type": "application", "bom-ref": "llama-operator", "name": "llama-operator"}
    properties = [{"name": "vcs.revision", "value": revision}] if revision else []
    licences = [{"license": {"id": "Apache-2.0"}}]
    return subject | {"version": version, "licenses": licences, "properties": properties}


def _component(locked: Locked, wheel: Path | None) -> Object:
    if wheel is None:
        raise ValueError(f"{locked.name} {locked.version} is locked, but there is no wheel of it")
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    if digest not in locked.hashes:
        raise ValueError(f"{wheel.name} has SHA-256 {digest}, which the lock does not name")
    reference = f"pkg:pypi/{_normal(locked.name)}@{locked.version}"
    return {
        "type": "library",
        "bom-ref": reference,
        "name": locked.name,
        "version": locked.version,
        "purl": reference,
        "hashes": [{"alg": "SHA-256", "content": digest}],
        "licenses": _licences(_metadata(wheel)),
    }


def _metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as files:
        name = next(each for each in files.namelist() if each.endswith(".dist-info/METADATA"))
        return email.message_from_bytes(files.read(name))


def _licences(metadata: Message) -> list[Object]:
    """As the package says it: an expression, or the words of older metadata."""
    if expression := metadata["License-Expression"]:
        return [{"expression": expression}]
    classified = [
        each.rpartition("::")[2].strip()
        for each in metadata.get_all("Classifier", [])
        if each.startswith("License ::")
    ]
    short = (metadata["License"] or "").splitlines()[:1]
    return [{"license": {"name": name}} for name in classified or short]


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()

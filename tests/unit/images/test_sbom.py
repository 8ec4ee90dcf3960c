"""The list of what is in an image: every locked package, with the file that was taken for it."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

import pytest
from tests.support.images import context, lock, sbom

BASE = "example.com/python:3.11@sha256:" + "a" * 64


def wheel(directory: Path, name: str, *lines: str) -> Path:
    path = directory / f"{name}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as files:
        files.writestr(f"{name}-1.0.dist-info/METADATA", "\n".join([f"Name: {name}", *lines, ""]))
    return path


def locked(path: Path, name: str) -> str:
    return f"{name}==1.0 \\\n    --hash=sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}\n"


def test_each_package_of_the_real_lock_is_read() -> None:
    text = context.LOCK.read_text()
    found = lock.read(text)
    assert len(found) == text.count("==")
    assert {"aiohttp", "click", "pydantic", "yarl"} <= {each.name for each in found}
    assert sum(len(each.hashes) for each in found) == text.count("--hash=sha256:")


def test_packages_are_listed_with_file_and_licence(tmp_path: Path) -> None:
    old = wheel(tmp_path, "Some_Thing", "License: GPL\n more", "Classifier: License :: OSI :: MIT")
    new = wheel(tmp_path, "other", "License-Expression: Apache-2.0 OR MIT")
    text = locked(old, "some-thing") + locked(new, "other")
    made = sbom.document(lock.read(text), [old, new], BASE, "0.1.0", "abc")
    base, first, second = made["components"]
    assert base["hashes"] == [{"alg": "SHA-256", "content": "a" * 64}]
    assert first["purl"] == "pkg:pypi/some-thing@1.0"
    assert first["licenses"] == [{"license": {"name": "MIT"}}]
    assert first["hashes"][0]["content"] == hashlib.sha256(old.read_bytes()).hexdigest()
    assert second["licenses"] == [{"expression": "Apache-2.0 OR MIT"}]
    assert made["metadata"]["component"]["version"] == "0.1.0"


def test_a_package_without_its_file_is_an_error(tmp_path: Path) -> None:
    here = wheel(tmp_path, "here")
    text = locked(here, "here") + "gone==2.0 \\\n    --hash=sha256:" + "0" * 64
    with pytest.raises(ValueError, match=r"gone 2\.0 is locked, but there is no wheel"):
        sbom.document(lock.read(text), [here], BASE, "1")


def test_a_file_of_another_hash_is_an_error(tmp_path: Path) -> None:
    here = wheel(tmp_path, "here")
    text = f"here==1.0 \\\n    --hash=sha256:{'0' * 64}"
    with pytest.raises(ValueError, match="which the lock does not name"):
        sbom.document(lock.read(text), [here], BASE, "1")

"""A Secret of type kubernetes.io/tls as the kubelet mounts it, and as it brings another one."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from tests.support.cluster.pki import Pair

ENTRIES = ("tls.crt", "tls.key")


class Mounted:
    """The directory: files are links through `..data`, which is swapped in one step."""

    def __init__(self, directory: Path, pair: Pair) -> None:
        self.directory = directory
        self._rounds = 0
        directory.mkdir(parents=True)
        self.put(pair.certificate, pair.key)
        for entry in ENTRIES:
            (directory / entry).symlink_to(f"..data/{entry}")

    def put(self, certificate: Path, key: Path) -> None:
        """Bring these files, as the kubelet does: the folder before is gone at the end."""
        data = self.directory / "..data"
        before = data.resolve() if data.exists() else None
        self._rounds += 1
        folder = self.directory / f"..round_{self._rounds}"
        folder.mkdir()
        for source, entry in zip((certificate, key), ENTRIES, strict=True):
            (folder / entry).write_bytes(source.read_bytes())
        fresh = self.directory / "..data_tmp"
        fresh.symlink_to(folder.name)
        os.replace(fresh, data)  # noqa: PTH105 - as the kubelet's rename does
        if before:
            shutil.rmtree(before)

"""manifest.json: the last file written, and the proof that all the others are there.

Its bytes are a function of the contents alone, so its digest names the copy: two downloads of
one commit on two clusters have the same one.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from llama_weights.errors import VerifyError
from llama_weights.files import MANIFEST, STATE_DIRECTORY, unsafe

_LIMIT = 16 << 20
_SHA256 = re.compile(r"^[0-9a-f]{64}$")
# Made by mkfs in the root of a fresh ext4 volume.
_NOT_OURS = ("lost+found",)


@dataclass(frozen=True, order=True)
class Entry:
    """One file of a published copy."""

    path: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """What a published directory holds."""

    repo: str
    commit: str
    files: tuple[Entry, ...]
    format: str = "safetensors"

    @property
    def total(self) -> int:
        """Bytes of all files, the manifest itself left out."""
        return sum(entry.bytes for entry in self.files)

    def encode(self) -> bytes:
        """The file's bytes: sorted, the same for the same contents."""
        files = [vars(entry) for entry in sorted(self.files)]
        data = {"format": self.format, "repo": self.repo, "commit": self.commit, "files": files}
        return (json.dumps(data, indent=1, sort_keys=True) + "\n").encode()

    @property
    def digest(self) -> str:
        """sha256:<hex> of the encoded manifest."""
        return f"sha256:{hashlib.sha256(self.encode()).hexdigest()}"


def load(directory: Path) -> Manifest | None:
    """The manifest of a directory, None where there is none.

    Raises VerifyError (ChecksumMismatch) when the file is there but is not a manifest.
    """
    try:
        with (directory / MANIFEST).open("rb") as opened:
            data = opened.read(_LIMIT)
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        return _canonical(_decode(json.loads(data)), data)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise VerifyError(
            "ChecksumMismatch",
            f"{directory / MANIFEST} is not a manifest",
            fix="Remove the directory and fetch it again",
        ) from None


def _canonical(manifest: Manifest, data: bytes) -> Manifest:
    # The digest names the bytes on disk, so no other spelling of the same contents is accepted.
    if manifest.encode() != data:
        raise ValueError("not as written")
    return manifest


def _decode(data: dict[str, object]) -> Manifest:
    listed = data["files"]
    if not isinstance(listed, list) or not listed:
        raise ValueError("files")
    entries = tuple(sorted(_entry(each) for each in listed))
    repo, commit, kind = (str(data[key]) for key in ("repo", "commit", "format"))
    return Manifest(repo, commit, entries, kind)


def _entry(data: dict[str, object]) -> Entry:
    path, size, sha256 = data["path"], data["bytes"], data["sha256"]
    sound = isinstance(path, str) and isinstance(size, int) and isinstance(sha256, str)
    if not sound or unsafe(str(path)) or not _SHA256.match(str(sha256)):
        raise ValueError("entry")
    return Entry(str(path), int(str(size)), str(sha256))


def missing(directory: Path, manifest: Manifest) -> list[str]:
    """Files of the manifest that are not there as regular files of the right size."""
    return [entry.path for entry in manifest.files if _size(directory / entry.path) != entry.bytes]


def unexpected(directory: Path, known: set[str]) -> list[str]:
    """Files in a directory that are neither known nor our own bookkeeping, sorted."""
    ours = {MANIFEST, STATE_DIRECTORY, *_NOT_OURS}
    return sorted(
        path
        for path in _walk(directory, "")
        if path not in known and path.split("/")[0] not in ours
    )


def _walk(directory: Path, prefix: str) -> Iterator[str]:
    with os.scandir(directory) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _walk(directory / entry.name, f"{prefix}{entry.name}/")
            else:
                yield f"{prefix}{entry.name}"


def _size(path: Path) -> int:
    try:
        found = path.lstat()
    except OSError:
        return -1
    return found.st_size if stat.S_ISREG(found.st_mode) else -1

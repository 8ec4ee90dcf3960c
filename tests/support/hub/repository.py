"""A repository of the emulated hub: a directory, hashed as git and LFS hash it.

The commit is a digest of paths and contents, so the same files always give the same commit and
a changed byte gives another one. Extra entries exist in the listing without a file on disk:
that is how hostile names ("../x") are served.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

LFS_SUFFIXES = (".safetensors", ".pth", ".bin", ".gguf", ".onnx", ".model")
LFS_SIZE = 10 << 20
_BUFFER = 4 << 20


@dataclass(frozen=True)
class Blob:
    """One file: where its bytes lie, or the bytes themselves."""

    path: str
    size: int
    sha256: str
    git_sha1: str
    file: Path | None = None
    content: bytes = b""
    kind: str = "file"

    @property
    def lfs(self) -> bool:
        """Whether the hub keeps it in LFS: by suffix, or because it is big."""
        return self.path.endswith(LFS_SUFFIXES) or self.size > LFS_SIZE

    @property
    def etag(self) -> str:
        """What the hub gives as the file's identity."""
        return self.sha256 if self.lfs else self.git_sha1

    def entry(self) -> dict[str, Any]:
        """The file as the tree API lists it."""
        listed: dict[str, Any] = {"type": self.kind, "oid": self.git_sha1, "size": self.size}
        if self.lfs:
            listed["oid"] = hashlib.sha1(self.sha256.encode(), usedforsecurity=False).hexdigest()
            listed["lfs"] = {"oid": self.sha256, "size": self.size, "pointerSize": 134}
        return {**listed, "path": self.path}

    def read(self, start: int, count: int) -> bytes:
        """Some of the bytes."""
        if self.file is None:
            return self.content[start : start + count]
        with self.file.open("rb") as opened:
            opened.seek(start)
            return opened.read(count)


@dataclass
class Repository:
    """What one ORG/NAME holds, at one commit, and who may read it."""

    id: str
    blobs: dict[str, Blob]
    token: str = ""
    gated: bool = False
    branches: tuple[str, ...] = ("main",)
    page_size: int = 1000
    commit: str = field(init=False)

    def __post_init__(self) -> None:
        digest = hashlib.sha1(usedforsecurity=False)
        for path in sorted(self.blobs):
            digest.update(f"{path}\0{self.blobs[path].sha256}\n".encode())
        self.commit = digest.hexdigest()

    def has_revision(self, revision: str) -> bool:
        """Whether a branch or commit exists."""
        return revision in (self.commit, *self.branches)

    @classmethod
    def scan(cls, repo: str, directory: Path, **options: Any) -> Repository:
        """All files below a directory, hidden ones left out."""
        paths = (path for path in sorted(directory.rglob("*")) if path.is_file())
        found = ((path.relative_to(directory).as_posix(), path) for path in paths)
        shown = [(name, path) for name, path in found if not name.startswith(".")]
        return cls(repo, {name: hash_file(name, path) for name, path in shown}, **options)

    @classmethod
    def of(cls, repo: str, contents: Mapping[str, bytes], **options: Any) -> Repository:
        """Files given as bytes; names are not checked, so hostile ones can be served."""
        return cls(repo, {name: blob(name, data) for name, data in contents.items()}, **options)


def blob(path: str, content: bytes, kind: str = "file") -> Blob:
    """A blob of bytes in memory."""
    sha256, sha1 = _digests([content], len(content))
    return Blob(path, len(content), sha256, sha1, content=content, kind=kind)


def hash_file(name: str, path: Path) -> Blob:
    size = path.stat().st_size
    with path.open("rb") as opened:
        pieces = iter(lambda: opened.read(_BUFFER), b"")
        sha256, sha1 = _digests(pieces, size, git=size <= LFS_SIZE)
    return Blob(name, size, sha256, sha1, file=path)


def _digests(pieces: Iterable[bytes], size: int, *, git: bool = True) -> tuple[str, str]:
    sha256 = hashlib.sha256()
    sha1 = hashlib.sha1(f"blob {size}\0".encode(), usedforsecurity=False)
    for piece in pieces:
        sha256.update(piece)
        if git:
            sha1.update(piece)
    return sha256.hexdigest(), sha1.hexdigest()

"""A file as the publisher describes it, and which names may become paths of ours.

A listing is a stranger's text. A name that is absolute, climbs out, hides control characters or
collides with our own bookkeeping is refused before a single path is built from it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from llama_weights.errors import FormatError

MANIFEST = "manifest.json"
STATE_DIRECTORY = ".fetch"
NAME_LIMIT = 255
Algorithm = Literal["sha256", "git-sha1", "md5", "zip-crc32"]
# The digest of every file whose zip entries all have the CRC that the zip says.
INTACT = "intact"


@dataclass(frozen=True)
class RemoteFile:
    """Path in the repository, size in bytes and the publisher's digest of the content.

    `algorithm` is "sha256" for LFS objects, "git-sha1" for small files kept in git itself, "md5" for
    files of Meta's checklists, "zip-crc32" for .pth files of which nobody publishes a hash: their
    digest is INTACT.
    """

    path: str
    size: int
    algorithm: Algorithm
    digest: str


def check_names(names: Iterable[str]) -> None:
    """Raise FormatError (CorruptCheckpoint) for the first name that is not safe as a path."""
    seen: set[str] = set()
    for name in names:
        problem = unsafe(name)
        if problem or name.casefold() in seen:
            raise FormatError(
                "CorruptCheckpoint",
                f"the repository lists the file name {name[:120]!r}, which "
                f"{problem or 'differs from another only in case'}; nothing was written",
                fix="Use a repository you trust",
            )
        seen.add(name.casefold())


def unsafe(name: str) -> str:
    """What makes a name unusable as a relative path; "" when nothing does."""
    if not name or len(name.encode(errors="replace")) > NAME_LIMIT:
        return f"is empty or longer than {NAME_LIMIT} bytes"
    if not name.isprintable() or "\\" in name or ":" in name:
        return "holds a backslash, a colon or a control character"
    parts = name.split("/")
    if name.startswith(("/", "~")) or any(part in ("", ".", "..") for part in parts):
        return "is not a plain relative path"
    if parts[0].casefold() in (MANIFEST, STATE_DIRECTORY):
        return "is used by llama-weights itself"
    return ""

"""Links in a folder that servers mount alone: whether they still lead somewhere there.

A claim's folder is the whole of what a server sees of it. A link that leads out of the folder, as
all of Hugging Face's cache do (`snapshots/COMMIT/config.json -> ../../blobs/...`), can be followed
where the whole claim is mounted, and leads nowhere in the server.
"""

from __future__ import annotations

from collections import deque
from pathlib import Path

# Of Linux itself.
_MOST_LINKS = 40


def broken(directory: Path, names: list[str]) -> list[str]:
    """Those of the names that are nothing to whoever sees this directory alone."""
    return [name for name in names if not _leads_somewhere(directory, name)]


def _leads_somewhere(directory: Path, name: str) -> bool:
    here, ahead, links = directory, deque([name]), 0
    while ahead:
        part = ahead.popleft()
        if part == "..":
            if here == directory:
                return False
            here = here.parent
        elif not (here / part).is_symlink():
            here /= part
        else:
            target, links = str((here / part).readlink()), links + 1
            # An absolute one is of the machine, or the pod, that made it.
            if target.startswith("/") or links > _MOST_LINKS:
                return False
            ahead.extendleft(reversed(target.split("/")))
    return here.exists()

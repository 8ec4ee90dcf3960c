"""`python -m tests.support.kserve install`: bring KServe's definition and its SDK."""

from __future__ import annotations

import sys

from tests.support import kserve
from tests.support.cluster.progress import Progress
from tests.support.kserve import sdk


def main() -> int:
    """Exit status 2 for wrong usage."""
    if sys.argv[1:] != ["install"]:
        print("usage: python -m tests.support.kserve install", file=sys.stderr)
        return 2
    progress = Progress()
    with progress.step(f"KServe {kserve.VERSION}: its definition"):
        kserve.source()
    sdk.install(progress)
    return 0


if __name__ == "__main__":
    sys.exit(main())

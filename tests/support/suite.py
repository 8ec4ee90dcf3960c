"""What `make test` runs: tests that need programs of a cluster, and all others, side by side.

The first wait for programs most of the time, the others compute; one after the other on two cores
they take the sum. Arguments are pytest's, for both.
"""

from __future__ import annotations

import sys
import time

from tests.support.lanes import run, say

NEEDS = "(cluster or node or vllm)"
# Arguments may leave nothing to one of the two.
NOTHING_COLLECTED = 5


def lanes(arguments: list[str]) -> dict[str, list[list[str]]]:
    """Both lanes, by name."""
    marks = {"pure": f"not slow and not {NEEDS}", "cluster": f"not slow and {NEEDS}"}
    return {name: [["pytest", "-m", mark, *arguments]] for name, mark in marks.items()}


def main() -> int:
    """Exit status 1 when a test of either lane fails."""
    started = time.monotonic()
    failed = run(lanes(sys.argv[1:]), fine=(0, NOTHING_COLLECTED))
    how = f"failed: {', '.join(each.split(':')[0] for each in failed)}" if failed else "all passed"
    say("test", f"{how} after {time.monotonic() - started:.0f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

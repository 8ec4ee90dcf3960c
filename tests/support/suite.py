"""What `make test` runs, in two lanes side by side that last about as long as each other.

One has the tests with pods and with vLLM, which wait for programs most of the time. The other has
those that compute, and then those that need a control plane alone: chaos among them, which waits
as well. Arguments are pytest's, for all.
"""

from __future__ import annotations

import sys
import time

from tests.support.lanes import run, say

PODS = "(node or vllm)"
# Arguments may leave nothing to one of the two.
NOTHING_COLLECTED = 5


def lanes(arguments: list[str]) -> dict[str, list[list[str]]]:
    """Both lanes, by name."""
    marks = {
        "pods": [PODS],
        "rest": [f"not cluster and not {PODS}", f"cluster and not {PODS}"],
    }
    return {
        name: [["pytest", "-m", f"not slow and {each}", *arguments] for each in several]
        for name, several in marks.items()
    }


def main() -> int:
    """Exit status 1 when a test of either lane fails."""
    started = time.monotonic()
    failed = run(lanes(sys.argv[1:]), fine=(0, NOTHING_COLLECTED), go_on=True)
    how = f"failed: {', '.join(each.split(':')[0] for each in failed)}" if failed else "all passed"
    say("test", f"{how} after {time.monotonic() - started:.0f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

"""What `make test` runs, in lanes side by side, of which two last about as long as each other.

One has the tests with pods and with vLLM, which wait for programs most of the time. The other has
those that compute, and then those that need a control plane alone: chaos among them, which waits
as well. What fetches and converts weights waits even more, and is over long before those two.
Arguments are pytest's, for all.
"""

from __future__ import annotations

import sys
import time

from tests.support.lanes import run, say

PODS = "(node or vllm)"
ALONE = f"not cluster and not {PODS}"
# Where all others lie: the rest, by far the most, need not be looked through by each lane.
MARKED = ("tests/chaos", "tests/cli", "tests/e2e", "tests/integration")
# Arguments may leave nothing to one of them.
NOTHING_COLLECTED = 5

Command = list[str]


def lanes(arguments: list[str]) -> dict[str, list[Command]]:
    """The commands of each lane, by its name."""
    marked = ["-o", f"testpaths={' '.join(MARKED)}"]
    return {
        "pods": [_pytest(PODS, marked, arguments)],
        "weights": [_pytest(f"weights and {ALONE}", marked, arguments)],
        "rest": [
            _pytest(f"not weights and {ALONE}", [], arguments),
            _pytest(f"cluster and not {PODS}", marked, arguments),
        ],
    }


def _pytest(marks: str, options: list[str], arguments: list[str]) -> Command:
    return ["pytest", "-m", f"not slow and {marks}", *options, *arguments]


def main() -> int:
    """Exit status 1 when a test of any lane fails."""
    started = time.monotonic()
    failed = run(lanes(sys.argv[1:]), fine=(0, NOTHING_COLLECTED), go_on=True)
    how = f"failed: {', '.join(each.split(':')[0] for each in failed)}" if failed else "all passed"
    say("test", f"{how} after {time.monotonic() - started:.0f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

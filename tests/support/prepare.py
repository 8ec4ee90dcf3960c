"""Everything that cluster, demo and tests need, built and fetched side by side.

The Go builds take about twelve minutes and vLLM's packages three when nothing is cached; run one
after the other on two cores they would take the sum. Each part caches by version outside the
tree, prints a line per step, and costs about a second when there is nothing to do.
"""

from __future__ import annotations

import sys
import time

from tests.support.lanes import run, say

LANES = {
    # Both of apt's users in one lane: apt's lock does not wait.
    "tools": (
        ("tests.support.cluster", "install"),
        ("tests.support.prometheus", "install"),
        ("tests.support.cluster", "build", "--helm"),
        ("tests.support.kserve", "install"),
    ),
    "model": (
        ("tests.support.vllm_cpu", "install"),
        ("tests.support.transformers_cpu", "install"),
        ("tests.support.models", "smollm2"),
        ("tests.support.models", "tiny"),
        # Last, and not beside apt's other users: its lists may have to be brought.
        ("tests.support.images", "--local"),
    ),
}


def main() -> int:
    """Exit status 0 when all is there."""
    started = time.monotonic()
    failed = run(LANES)
    for failure in failed:
        say("prepare", f"failed: {failure} (its last lines above say why)")
    how = "stopped" if failed else "all there"
    say("prepare", f"{how} after {time.monotonic() - started:.0f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

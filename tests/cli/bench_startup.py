"""How long llamactl takes to answer, over the bare interpreter: `python -m tests.cli.bench_startup`.

A bench and not a test: on a machine that does other work the figures are several times higher.
"""

from __future__ import annotations

import subprocess
import sys
import time

ROUNDS = 15
LIMIT_MS = 150
CASES = (
    ("--help",),
    ("deploy", "--help"),
    ("weights", "add", "--help"),
    ("bench", "--help"),
    ("models",),
    ("plan", "70b", "--gpu", "H100", "--gpus", "8"),
    ("plan", "70b"),
    ("plan", "70b", "-o", "json"),
)


def best_ms(*command: str) -> float:
    """The quickest of several runs, in milliseconds."""
    found = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        subprocess.run([sys.executable, *command], capture_output=True, check=False)
        found.append(1000 * (time.perf_counter() - start))
    return min(found)


def main() -> None:
    """Print one line for each case."""
    bare = best_ms("-c", "pass")
    print(f"bare interpreter {bare:.0f} ms; limit for each of these {LIMIT_MS} ms over it")
    for case in CASES:
        over = best_ms("-m", "llamactl", *case) - bare
        print(f"{'ok ' if over <= LIMIT_MS else 'SLOW'} {over:5.0f} ms  llamactl {' '.join(case)}")


if __name__ == "__main__":
    main()

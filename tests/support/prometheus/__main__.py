"""`python -m tests.support.prometheus install`: unpack Debian's package into the cache."""

from __future__ import annotations

import sys

from tests.support.prometheus.install import PrometheusError, find, install


def main() -> int:
    """Exit status 0 even where it cannot be had: the tests that need it say so and are skipped."""
    if sys.argv[1:] != ["install"]:
        print("usage: python -m tests.support.prometheus install", file=sys.stderr)
        return 2
    try:
        install()
    except PrometheusError as problem:
        print(f"no Prometheus, tests that need it are skipped: {problem}")
        return 0
    print(f"prometheus and promtool: {find('prometheus')}, {find('promtool')}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""promtool, or a reason why there is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.prometheus.install import find


@pytest.fixture(scope="session")
def promtool() -> Path:
    """The program; skips the test where it cannot be had."""
    found = find("promtool")
    if found is None:
        pytest.skip("there is no promtool: `make prepare` unpacks Debian's package prometheus")
    return found

"""promtool, or a reason why there is none."""

from __future__ import annotations

from tests.support.prometheus.fixtures import promtool

__all__ = ["promtool"]

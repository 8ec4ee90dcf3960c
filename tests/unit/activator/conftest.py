from __future__ import annotations

from tests.unit.runtime.conftest import server

__all__ = ["server"]

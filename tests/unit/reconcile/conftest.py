"""An API server that is played, and a client of it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio
from tests.unit.runtime.conftest import server
from tests.unit.runtime.fake_api import FakeApi

from llama_operator.runtime import Api

__all__ = ["api", "server"]


@pytest_asyncio.fixture
async def api(server: FakeApi) -> AsyncIterator[Api]:
    client = server.api()
    yield client
    await client.close()

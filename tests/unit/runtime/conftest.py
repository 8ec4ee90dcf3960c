from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio
from tests.unit.runtime.fake_api import FakeApi

from llama_operator.runtime import Api


@pytest_asyncio.fixture
async def server() -> AsyncIterator[FakeApi]:
    fake = FakeApi()
    await fake.start()
    yield fake
    await fake.stop()


@pytest_asyncio.fixture
async def api(server: FakeApi) -> AsyncIterator[Api]:
    client = server.api(seconds=2.0)
    yield client
    await client.close()

"""One look at the log of a container: what a node does not give in time is not had, and no failure."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from llama_operator.runtime.api import Api
from llama_operator.runtime.errors import ApiError, TransportError

# A node that does not answer must not hold up the deployment.
SECONDS = 5.0

log = logging.getLogger(__name__)


async def text_of(api: Api, meta: dict[str, Any], container: str, **bounds: Any) -> str | None:
    """Text of the log of a pod's container within the `bounds` of `Api.logs`; None without one."""
    try:
        async with asyncio.timeout(SECONDS):
            return await api.logs(meta["namespace"], meta["name"], container, **bounds)
    except (ApiError, TransportError, TimeoutError) as error:
        log.info("the log of %s cannot be read: %s", meta["name"], error)
        return None

"""Trouble between an operator and its API server, made on purpose.

`proxy` sits between the two and fails, delays, holds or drops what a plan says; `operator` runs the
operator as a process that is killed and stopped by signals; `world` looks at the API server itself
and plays the kubelet; `life` is what a LlamaDeployment goes through.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable


async def comes(check: Callable[[], object], seconds: float, every: float = 0.05) -> bool:
    """Wait until `check` holds; False when it does not in time."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while not check():
        if loop.time() > end:
            return False
        await asyncio.sleep(every)
    return True

"""The servers that answer, from the EndpointSlices of the deployment's Service.

The activator is behind the same Service; its own port tells the two apart.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

Object = Mapping[str, Any]
PORT_NAME = "http"


class Servers:
    """Addresses (host:port) by the name of their pod; the one with the fewest requests is next."""

    def __init__(self, own_port: int) -> None:
        self._own_port = own_port
        self._ready: dict[str, str] = {}
        self._busy: Counter[str] = Counter()
        self._changed = asyncio.Event()

    @property
    def ready(self) -> dict[str, str]:
        """Address by pod, of those that answer."""
        return dict(self._ready)

    @property
    def forwarding(self) -> int:
        """Requests that are being answered through here."""
        return self._busy.total()

    def update(self, slices: Iterable[Object]) -> None:
        """Take in the present state."""
        found: dict[str, str] = {}
        for each in sorted(slices, key=lambda obj: str(obj.get("addressType"))):
            for pod, address in _addresses(each, self._own_port):
                found.setdefault(pod, address)
        self._ready = found
        self._tell()

    def _tell(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    def pick(self) -> str | None:
        """The address of the server with the fewest requests of ours; None while none answers."""
        return min(self._ready.values(), key=lambda each: self._busy[each], default=None)

    async def wait(self) -> str:
        """As `pick`, as soon as there is one."""
        while (found := self.pick()) is None:
            await self._changed.wait()
        return found

    @contextmanager
    def using(self, address: str) -> Iterator[None]:
        """Counts a request of this server."""
        self._busy[address] += 1
        try:
            yield
        finally:
            self._busy[address] -= 1
            if not self._busy[address]:
                del self._busy[address]


def _addresses(found: Object, own_port: int) -> Iterator[tuple[str, str]]:
    ports = [each.get("port") for each in found.get("ports") or () if each.get("name") == PORT_NAME]
    if not ports or ports[0] in (None, own_port) or found.get("addressType") == "FQDN":
        return
    for endpoint in found.get("endpoints") or ():
        # Left out means ready.
        if (endpoint.get("conditions") or {}).get("ready") is not False:
            host = endpoint["addresses"][0]
            name = (endpoint.get("targetRef") or {}).get("name", host)
            yield name, f"[{host}]:{ports[0]}" if ":" in host else f"{host}:{ports[0]}"

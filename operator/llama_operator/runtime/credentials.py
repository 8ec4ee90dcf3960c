"""What a request shows of who sends it: the token of the official package's configuration."""

from __future__ import annotations

from collections.abc import Mapping

from kubernetes.aio.client import ApiClient
from kubernetes.aio.config import ConfigException

from .clock import Clock
from .errors import TransportError

FRESH_SECONDS = 1.0
"""How long a token is sent before the package is asked again; it reads new ones in time."""


class Credentials:
    """The headers of a client's token: none where it has none, or shows a certificate instead."""

    def __init__(self, client: ApiClient, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._headers: Mapping[str, str] = {}
        self._until = float("-inf")

    async def headers(self) -> Mapping[str, str]:
        """The headers; raises TransportError for credentials that cannot be read, or sent."""
        if self._clock.monotonic() >= self._until:
            self._headers = await self._read()
            self._until = self._clock.monotonic() + FRESH_SECONDS
        return self._headers

    async def _read(self) -> dict[str, str]:
        headers: dict[str, str] = {}
        try:
            await self._client.update_params_for_auth(headers, [], ["BearerToken"], "", "", None)
        except (ConfigException, OSError) as error:
            raise TransportError(f"the credentials cannot be read: {error}") from error
        token = headers.get("authorization", "")
        if not (token.isascii() and token.isprintable()):
            what = "a line break" if token.isascii() else "a character beyond ASCII"
            raise TransportError(f"the credentials cannot be sent: a token holds {what}")
        return headers

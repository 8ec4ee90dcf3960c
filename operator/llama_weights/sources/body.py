"""The bytes of an answer as they come, and how they stop coming."""

from __future__ import annotations

import http.client
from typing import Any

import urllib3
from urllib3 import exceptions

from llama_weights.errors import DownloadError


class RangeIgnoredError(Exception):
    """The server sends the whole file where a part was asked for."""


class Body:
    """An open answer. `start` is the offset in the file of the first byte it gives."""

    def __init__(self, response: urllib3.BaseHTTPResponse, name: str, start: int) -> None:
        self._response, self._name = response, name
        self._raw: Any = response._fp  # type: ignore[attr-defined]  # the http.client.HTTPResponse
        self.start = start

    def readinto(self, buffer: memoryview) -> int:
        """Fill a buffer, or less at the end; 0 after it. Raises DownloadError (Stalled, Failed).

        Past urllib3, whose `read` would allocate and copy every byte once more: with a fresh
        megabyte each time, most of a fetch was the kernel clearing pages.
        """
        try:
            return int(self._raw.readinto(buffer))
        except TimeoutError as error:
            raise self._stalled() from error
        except (http.client.HTTPException, OSError, ValueError) as error:
            raise cut(self._name) from error

    def read(self, count: int) -> bytes:
        """At most `count` bytes, b"" at the end. Raises DownloadError (Stalled, Failed)."""
        try:
            return self._response.read(count)
        except exceptions.ReadTimeoutError as error:
            raise self._stalled() from error
        except (exceptions.HTTPError, OSError) as error:
            raise cut(self._name) from error

    def close(self) -> None:
        """Give the connection back when the body was read to its end, else close it."""
        if self._response.length_remaining == 0 or self._raw.isclosed():
            self._response.release_conn()
        else:
            self._response.close()

    def _stalled(self) -> DownloadError:
        return DownloadError(
            "Stalled",
            f"{self._name}: the server sends no more bytes",
            fix="Check the network path to the hub",
            temporary=True,
        )


def cut(name: str) -> DownloadError:
    """The connection ended before the bytes did."""
    return DownloadError(
        "Failed",
        f"{name}: the connection was cut in the middle of the file",
        fix="Check the network path to the hub",
        temporary=True,
    )

"""Requests to Meta's server: few, ranged, and each refusal with the reason that it has.

What its users met and what follows from it: a URL is good for a day and for a number of downloads
that nobody publishes, so nothing is asked twice and HEAD is never sent (it is refused for large
files); answers over 30 GB are refused, so ranges are asked for; an expired URL is answered with 403
like a used-up one, so the expiry is read in the URL itself; and a page for people may come with
status 200, which was saved as a .pth of 16 kB.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass

import urllib3

from llama_operator.api.signed_url import NEW_URL, SignedUrl, UrlRefused
from llama_weights.errors import AccessError, DownloadError, FormatError, WeightsError
from llama_weights.retry import Patience, retrying
from llama_weights.sources.body import Body, RangeIgnoredError
from llama_weights.sources.client import is_page, shorter
from llama_weights.sources.refusals import Asked, refusal
from llama_weights.transport import Transport

URL_FIELD = "spec.source.meta.urlSecretRef"
LARGEST_ANSWER = 30_000_000_000
_AGENT = {"User-Agent": "llama-weights/0.1", "Accept-Encoding": "identity"}
_CONTENT_RANGE = re.compile(r"^bytes (\d+)-(\d+)/(\d+)$")


@dataclass(frozen=True)
class Head:
    """The size of a file in bytes and its first bytes."""

    size: int
    start: bytes


class MetaServer:
    """Thread-safe. `start` is one attempt, `read` and `head` have the patience they were given."""

    def __init__(self, url: SignedUrl, transport: Transport, patience: Patience) -> None:
        self.url, self.patience = url, patience
        self._transport = transport
        self._served = False

    def read(self, path: str, limit: int) -> bytes:
        """A small file. Raises FormatError above `limit` bytes, AccessError."""
        return retrying(self.patience, lambda: self._read(path, limit))

    def head(self, path: str, count: int) -> Head:
        """Size and first bytes, by a ranged GET."""
        return retrying(self.patience, lambda: self._head(path, count))

    def start(self, path: str, size: int, start: int, end: int) -> Body:
        """Bytes [start, end) of a file of `size` bytes. Raises WeightsError, RangeIgnoredError."""
        self.patience.check()
        whole = (start, end) == (0, size)
        response = self._get(path, {"Range": f"bytes={start}-{end - 1}"})
        try:
            self._check(response, path, (start, end, size), whole=whole)
        except BaseException:
            response.close()
            raise
        return Body(response, path, start)

    def _read(self, path: str, limit: int) -> bytes:
        response = self._get(path, {})
        body = Body(response, path, 0)
        try:
            data = b"".join(iter(lambda: body.read(64 << 10), b""))[: limit + 1]
        finally:
            body.close()
        if len(data) > limit:
            raise FormatError(
                "CorruptCheckpoint", f"{path} has more than {limit} bytes", field=URL_FIELD
            )
        return data

    def _head(self, path: str, count: int) -> Head:
        response = self._get(path, {"Range": f"bytes=0-{count - 1}"})
        body = Body(response, path, 0)
        try:
            return Head(_size(response, path), body.read(count))
        finally:
            body.close()

    def _get(self, path: str, headers: Mapping[str, str]) -> urllib3.BaseHTTPResponse:
        self._check_time()
        try:
            response = self._transport.get(self.url.address(path), {**_AGENT, **headers})
        except WeightsError as error:
            error.field = URL_FIELD
            raise
        if response.status not in (200, 206):
            response.close()
            raise self._refusal(response, path)
        if is_page(response):
            response.close()
            raise self._page(path)
        self._served = True
        return response

    def _check(
        self,
        response: urllib3.BaseHTTPResponse,
        path: str,
        span: tuple[int, int, int],
        *,
        whole: bool,
    ) -> None:
        start, end, size = span
        if response.status == 200 and not whole:
            if size > LARGEST_ANSWER:
                raise _too_large(path, size)
            raise RangeIgnoredError
        if _size(response, path) != size:
            raise shorter(path)
        found = _CONTENT_RANGE.match(response.headers.get("Content-Range", ""))
        if response.status == 206 and (
            not found or (int(found[1]), int(found[2]) + 1) != (start, end)
        ):
            raise shorter(path)

    def _check_time(self) -> None:
        try:
            self.url.check_time(time.time())
        except UrlRefused as refused:
            raise refused_access(refused) from None

    def _refusal(self, response: urllib3.BaseHTTPResponse, path: str) -> WeightsError:
        status = response.status
        if status == 416:
            return shorter(path)
        if status in (401, 403):
            return self._forbidden(path, status)
        if status in (404, 410):
            return AccessError(
                "NotFound",
                f"{self.url.host} has no {path} ({status})",
                field=URL_FIELD,
                fix="Check spec.model, or name the folder in spec.source.meta.folder",
            )
        if 300 <= status < 400:
            return AccessError(
                "EndpointUnreachable",
                f"{self.url.host} answers {path} with a redirect ({status}), which is not followed "
                "with a signed URL",
                field=URL_FIELD,
                fix=NEW_URL,
            )
        error = refusal(status, response.headers, Asked(path, self.url.host, token=True))
        error.field = URL_FIELD
        return error

    def _forbidden(self, path: str, status: int) -> WeightsError:
        try:
            self.url.check_time(time.time())
        except UrlRefused as refused:
            return refused_access(refused)
        if self._served:
            why = "its number of downloads is used up"
        else:
            why = "its number of downloads is used up, or it is for another model than this"
        return AccessError(
            "URLExhausted",
            f"{self.url.host} refuses {path} ({status}) although the URL is valid until "
            f"{self.url.expires_at}: {why}",
            field=URL_FIELD,
            fix=f"{NEW_URL}; what has been fetched is kept",
        )

    def _page(self, path: str) -> AccessError:
        return AccessError(
            "EndpointUnreachable",
            f"{self.url.host} answers {path} with a web page (HTML, status 200)",
            field=URL_FIELD,
            fix=f"A proxy's login page, or the URL of a page and not of the files. {NEW_URL}",
            temporary=True,
        )


def refused_access(refused: UrlRefused) -> WeightsError:
    """A refusal of the URL as the error that ends in its condition."""
    kind = FormatError if refused.reason == "FormatUnsupported" else AccessError
    return kind(refused.reason, refused.message, field=URL_FIELD, fix=refused.fix)


def _size(response: urllib3.BaseHTTPResponse, path: str) -> int:
    found = _CONTENT_RANGE.match(response.headers.get("Content-Range", ""))
    text = found[3] if found else response.headers.get("Content-Length", "")
    if not text.isdecimal():
        raise DownloadError(
            "Failed",
            f"{path}: the server does not say how long it is",
            field=URL_FIELD,
            temporary=True,
        )
    return int(text)


def _too_large(path: str, size: int) -> DownloadError:
    return DownloadError(
        "Failed",
        f"{path} has {size:,} bytes and the server ignores Range; answers over "
        f"{LARGEST_ANSWER:,} bytes are refused",
        field=URL_FIELD,
        fix="Something between here and Meta's server drops the header; try without the proxy",
    )

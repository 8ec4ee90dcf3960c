"""Authorised requests to one endpoint, redirects followed by hand.

The token goes to the endpoint's own origin and only over TLS, whatever a redirect says; an
answer is trusted to be JSON only after it has been looked at, because proxies answer 200 with a
login page.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import urllib3

from llama_weights.errors import AccessError, DownloadError
from llama_weights.retry import Patience, retrying
from llama_weights.sources import address
from llama_weights.sources.body import Body
from llama_weights.sources.refusals import REPO_FIELD, Asked, not_json, refusal, web_page
from llama_weights.transport import ENDPOINT_FIELD, Transport

_AGENT = {"User-Agent": "llama-weights/0.1", "Accept-Encoding": "identity"}
_REDIRECTS = (301, 302, 303, 307, 308)
_MOST_REDIRECTS = 5
_JSON_LIMIT, _JSON_SECONDS = 64 << 20, 120.0


@dataclass(frozen=True)
class Account:
    """An endpoint and the token for it ("" for none); made by `account`, which checks both."""

    endpoint: str
    token: str


def account(endpoint: str, token: str) -> Account:
    """Raises AccessError for an address or a token that must not be used."""
    token = address.check_token(token)
    return Account(address.check_endpoint(endpoint, token=bool(token)), token)


class Client:
    """Thread-safe. `get` is one attempt, `json` has the patience it was given."""

    def __init__(self, account: Account, transport: Transport, patience: Patience) -> None:
        self.endpoint = account.endpoint
        self.patience = patience
        self._token = account.token
        self._transport = transport
        self._origin = address.origin(account.endpoint)

    def asked(self, what: str, url: str = "") -> Asked:
        """What an error message needs to know of a request."""
        url = url or self.endpoint
        parts = urlsplit(url)
        host = f"{parts.hostname}:{parts.port}" if parts.port else str(parts.hostname)
        return Asked(what, host, bool(self._token), own=address.origin(url) == self._origin)

    def get(
        self, url: str, headers: Mapping[str, str], what: str
    ) -> tuple[urllib3.BaseHTTPResponse, str]:
        """An answer with status 200 or 206, and the address it came from in the end."""
        for _ in range(_MOST_REDIRECTS + 1):
            response = self._transport.get(url, {**_AGENT, **headers, **self._credentials(url)})
            if response.status in (200, 206):
                return response, url
            response.close()
            if response.status == 416:
                raise shorter(what)
            if response.status not in _REDIRECTS:
                raise refusal(response.status, response.headers, self.asked(what, url))
            url = address.redirected(url, response.headers.get("Location", ""))
        raise AccessError(
            "EndpointUnreachable",
            f"{urlsplit(url).hostname} redirects in circles for {what}",
            field=ENDPOINT_FIELD,
        )

    def json(self, url: str, what: str) -> tuple[Any, str]:
        """The parsed answer and the address of the next page, "" where there is none."""
        return retrying(self.patience, lambda: self._json_once(url, what))

    def _credentials(self, url: str) -> dict[str, str]:
        safe = url.startswith("https://") and address.origin(url) == self._origin
        return {"Authorization": f"Bearer {self._token}"} if safe and self._token else {}

    def _json_once(self, url: str, what: str) -> tuple[Any, str]:
        response, final = self.get(url, {}, what)
        asked = self.asked(what, final)
        try:
            data = _read_all(Body(response, what, 0), asked)
        finally:
            response.close()
        if is_page(response) or data.lstrip()[:1] == b"<":
            raise web_page(asked)
        try:
            return json.loads(data), _next(response.headers.get("Link", ""))
        except (ValueError, RecursionError):
            raise not_json(asked, "something that is not JSON") from None


def is_page(response: urllib3.BaseHTTPResponse) -> bool:
    """Whether an answer calls itself a web page."""
    return response.headers.get("Content-Type", "").lower().startswith("text/html")


def shorter(what: str) -> DownloadError:
    """A file has fewer bytes than the listing promised."""
    return DownloadError(
        "Failed",
        f"{what}: the server has fewer bytes than it listed",
        field=REPO_FIELD,
        fix="The file was changed or truncated on the server; pin another revision",
    )


def _read_all(body: Body, asked: Asked) -> bytes:
    deadline = time.monotonic() + _JSON_SECONDS
    pieces: list[bytes] = []
    while piece := body.read(64 << 10):
        pieces.append(piece)
        if len(pieces) * (64 << 10) > _JSON_LIMIT or time.monotonic() > deadline:
            raise not_json(asked, "an answer that does not end")
    return b"".join(pieces)


def _next(link: str) -> str:
    match = re.search(r'<([^>]*)>\s*;[^,]*rel="?next', link)
    return match.group(1) if match else ""

"""Meta's server, as its users have met it: signed URLs, a quota, 403 for everything.

HEAD is refused, an answer of more than `largest` bytes is refused unless a range is asked for, and
the number of requests that a URL is good for can be limited. What is not there is answered with
403 as well, as S3 behind CloudFront does. The faults of the hub work here too (`on=cdn`).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import ssl
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from aiohttp import web

from tests.support.hub import answers
from tests.support.hub.faults import Fault
from tests.support.hub.hub import Hub
from tests.support.hub.record import Request
from tests.support.hub.repository import Blob, blob, hash_file
from tests.support.hub.routes import FAILURES

_KEY = b"emulated private key"
_KEY_PAIR = "K15QRJLYKIFSLZ"
_TO_URL = str.maketrans("+=/", "-_~")


def signed(url: str, resource: str, seconds: float = 86400, nonce: str = "") -> str:
    """A URL of an e-mail, for the files at `url`."""
    valid = {"DateLessThan": {"AWS:EpochTime": int(time.time() + seconds)}}
    policy = {"Statement": [{"unique_hash": nonce, "Resource": resource, "Condition": valid}]}
    text = base64.b64encode(json.dumps(policy).encode()).decode().translate(_TO_URL)
    query = f"Policy={text}&Signature={_signature(text)}&Key-Pair-Id={_KEY_PAIR}"
    return f"{url}/*?{query}&Download-Request-ID=1234567890123456"


class MetaHub(Hub):
    """Files by FOLDER/FILE behind signed URLs; used like Hub, over TLS."""

    def __init__(
        self,
        blobs: Mapping[str, Blob],
        *,
        tls: ssl.SSLContext,
        faults: Iterable[Fault] = (),
        host: str = "127.0.0.1",
        quota: int = -1,
        largest: int = 30_000_000_000,
    ) -> None:
        super().__init__(faults=faults, host=host, tls=tls)
        self.blobs, self.quota, self.largest = dict(blobs), quota, largest
        self.spent: dict[str, int] = {}

    async def start(self) -> None:
        """Listen."""
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        self.port = await self._listen(app, self.port)

    def signed(self, seconds: float = 86400, *, resource: str = "", nonce: str = "") -> str:
        """The URL of an e-mail, valid for `seconds`; another `nonce` is another e-mail."""
        return signed(self.url, resource or f"https://{self.host}:{self.port}/*", seconds, nonce)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        path = request.match_info["path"]
        header = request.headers.get
        record = Request(
            "cdn", request.method, request.host, path, path.rpartition("/")[2],
            header("Range", ""), header("Authorization", ""),
        )  # fmt: skip
        self.requests.append(record)
        response = await self._judged(request, path, record)
        record.status = response.status
        return response

    async def _judged(self, request: web.Request, path: str, record: Request) -> web.StreamResponse:
        found = self.blobs.get(path)
        if request.method != "GET" or found is None or not self._granted(request):
            return _denied()
        span = answers.span_of(record.range, found.size)
        if span is not None and span.end - span.start > self.largest:
            return web.Response(status=400, text="response too large")
        fault = next((each for each in self.faults if each.applies("cdn", path)), None)
        if fault and fault.kind in FAILURES:
            response: web.StreamResponse = await FAILURES[fault.kind](request, fault)
            return response
        return await answers.send(request, found, fault, record, {"ETag": f'"{found.sha256}"'})

    def _granted(self, request: web.Request) -> bool:
        text, signature = request.query.get("Policy", ""), request.query.get("Signature", "")
        if not hmac.compare_digest(signature, _signature(text)):
            return False
        self.spent[text] = self.spent.get(text, 0) + 1
        used_up = 0 <= self.quota < self.spent[text]
        policy = json.loads(base64.b64decode(text.translate(str.maketrans("-_~", "+=/"))))
        until = policy["Statement"][0]["Condition"]["DateLessThan"]["AWS:EpochTime"]
        return not used_up and time.time() < until


def directory(folder: str, path: Path, above: Iterable[str] = ()) -> dict[str, Blob]:
    """A checkpoint's files as the server keeps them, `checklist.chk` made of them if it lacks."""
    made: dict[str, Blob] = {}
    sums = []
    for file in sorted(path.iterdir()):
        place = file.name if file.name in above else f"{folder}/{file.name}".lstrip("/")
        made[place] = hash_file(place, file)
        sums.append(f"{md5(file)}  ./{file.name}")
    inside = [line for line in sums if line.rpartition("/")[2] not in above]
    made[f"{folder}/checklist.chk"] = blob(f"{folder}/checklist.chk", _lines(inside))
    if above:
        beyond = [line for line in sums if line not in inside]
        made["tokenizer_checklist.chk"] = blob("tokenizer_checklist.chk", _lines(beyond))
    return made


def md5(file: Path) -> str:
    """As Meta's checklists have it."""
    return hashlib.md5(file.read_bytes(), usedforsecurity=False).hexdigest()


def _lines(lines: list[str]) -> bytes:
    return ("\n".join(lines) + "\n").encode()


def _signature(text: str) -> str:
    digest = hmac.new(_KEY, text.encode(), hashlib.sha256).digest()
    return base64.b64encode(digest).decode().translate(_TO_URL)


def _denied() -> web.Response:
    body = "<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>"
    return web.Response(status=403, text=body, content_type="application/xml")

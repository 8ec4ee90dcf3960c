"""A checkpoint on a Hugging Face-compatible hub: its commit, its files, ranges of them.

Every file is resolved once and its CDN address kept for all its ranges, because hubs count
resolves (the 25,000 ranges of a 405B would exceed every limit); the address is asked for anew
when it has expired.
"""

from __future__ import annotations

import re
import threading
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlencode, urlsplit

import urllib3

from llama_weights.errors import FormatError, WeightsError
from llama_weights.files import Algorithm, RemoteFile, check_names
from llama_weights.retry import retrying
from llama_weights.select import select
from llama_weights.sources import address
from llama_weights.sources.body import Body, RangeIgnoredError
from llama_weights.sources.client import Client, is_page, shorter
from llama_weights.sources.refusals import REPO_FIELD, Asked, not_json, web_page

_MOST_PAGES, _MOST_FILES = 200, 50_000
# Of a server that sends no parts.
_WHOLE_LIMIT = 1 << 30
Chosen = Callable[[Sequence[RemoteFile]], list[RemoteFile]]
_CONTENT_RANGE = re.compile(r"^bytes (\d+)-(\d+)/(\d+|\*)$")
_SHA256, _SHA1 = re.compile(r"^[0-9a-f]{64}$"), re.compile(r"^[0-9a-f]{40}$")


def commit_of(client: Client, repo: str, revision: str) -> str:
    """The commit that a branch, tag or commit stands for."""
    url = f"{client.endpoint}/api/models/{repo}/revision/{quote(revision, safe='')}"
    found, _ = client.json(url, f"{repo}@{revision}")
    commit = found.get("sha") if isinstance(found, dict) else None
    if not isinstance(commit, str) or not address.is_commit(commit):
        raise not_json(client.asked("the model info"), "no commit in it")
    return commit


class Checkpoint:
    """One repository at one commit. Thread-safe."""

    format = "safetensors"
    largest_range = 32 << 20

    def __init__(
        self, client: Client, repo: str, commit: str, chosen: Chosen = select, kind: str = ""
    ) -> None:
        self._client, self._chosen = client, chosen
        self.format = kind or self.format
        self.repo, self.commit = repo, commit
        self._locations: dict[str, str] = {}
        self._locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)

    def files(self) -> list[RemoteFile]:
        """All files. Raises FormatError (CorruptCheckpoint) for hostile names and for links."""
        entries: list[Any] = []
        query = {"recursive": "true", "expand": "false"}
        tree = f"{self._client.endpoint}/api/models/{self.repo}/tree/{self.commit}"
        for _ in range(_MOST_PAGES):
            page, following = self._client.json(
                f"{tree}?{urlencode(query)}", f"{self.repo}@{self.commit[:12]}"
            )
            entries += page if isinstance(page, list) else [None]
            if not following or len(entries) > _MOST_FILES:
                break
            # Only its query is taken: a mirror's links may name the hub that it mirrors.
            query = {key: value[-1] for key, value in parse_qs(urlsplit(following).query).items()}
        return _listed(entries, self._client.asked("the file list"))

    def wanted(self) -> list[RemoteFile]:
        """What vLLM needs of them. Raises FormatError, VerifyError (FilesMissing)."""
        return self._chosen(self.files())

    def noted(self, state: Path) -> None:
        """A listing is cheap here, so nothing is kept of it."""

    def read(self, file: RemoteFile, limit: int) -> bytes:
        """A small file as a whole, not yet verified. Raises FormatError above `limit` bytes."""
        if file.size > limit:
            raise FormatError(
                "CorruptCheckpoint",
                f"{file.path} has {file.size} bytes, the limit is {limit}",
                field=REPO_FIELD,
            )
        return retrying(self._client.patience, lambda: self._read(file, 0, file.size))

    def open(self, file: RemoteFile, start: int, end: int) -> Body:
        """Bytes [start, end), one attempt. Raises WeightsError, RangeIgnoredError."""
        self._client.patience.check()
        known = self._locations.get(file.path)
        if known is not None:
            return self._open(known, file, start, end)
        with self._locks[file.path]:
            url = self._locations.get(file.path) or self._resolve_url(file)
            return self._open(url, file, start, end)

    def part(self, file: RemoteFile, start: int, end: int) -> bytes:
        """A small part of a file. Raises WeightsError."""
        try:
            return retrying(self._client.patience, lambda: self._read(file, start, end))
        except RangeIgnoredError:
            return self.read(file, _WHOLE_LIMIT)[start:end]

    def _read(self, file: RemoteFile, start: int, end: int) -> bytes:
        body, data = self.open(file, start, end), b""
        try:
            while len(data) < end - start and (more := body.read(end - start - len(data))):
                data += more
            return data
        finally:
            body.close()

    def _open(self, url: str, file: RemoteFile, start: int, end: int) -> Body:
        part = None if (start, end) == (0, file.size) else (start, end)
        headers = {"Range": f"bytes={start}-{end - 1}"} if part else {}
        try:
            response, self._locations[file.path] = self._client.get(url, headers, file.path)
        except WeightsError:
            self._locations.pop(file.path, None)
            raise
        try:
            self._check(response, file, part)
        except BaseException:
            response.close()
            raise
        return Body(response, file.path, start)

    def _check(
        self, response: urllib3.BaseHTTPResponse, file: RemoteFile, part: tuple[int, int] | None
    ) -> None:
        if is_page(response):
            url = self._locations.pop(file.path, "")
            raise web_page(self._client.asked(file.path, url))
        if part and response.status == 200:
            raise RangeIgnoredError
        length = response.headers.get("Content-Length", "")
        wanted = part[1] - part[0] if part else file.size
        if length and length != str(wanted):
            raise shorter(file.path)
        if part:
            _check_range(response.headers.get("Content-Range", ""), file, part)

    def _resolve_url(self, file: RemoteFile) -> str:
        return f"{self._client.endpoint}/{self.repo}/resolve/{self.commit}/{quote(file.path)}"


def _check_range(header: str, file: RemoteFile, part: tuple[int, int]) -> None:
    match = _CONTENT_RANGE.match(header)
    if not match or (int(match[1]), int(match[2]) + 1) != part:
        raise shorter(file.path)
    if match[3] not in ("*", str(file.size)):
        raise shorter(file.path)


def _listed(entries: list[Any], asked: Asked) -> list[RemoteFile]:
    files = []
    for entry in entries:
        if not isinstance(entry, dict) or not isinstance(entry.get("path"), str):
            raise not_json(asked, "an entry without a name")
        if entry.get("type") != "directory":
            check_names([entry["path"]])
            files.append(_file(entry))
    check_names(file.path for file in files)
    return files


def _file(entry: dict[str, Any]) -> RemoteFile:
    path, size, large = entry["path"], entry.get("size"), entry.get("lfs")
    digest, form = entry.get("oid"), _SHA1
    if isinstance(large, dict):
        size, digest, form = large.get("size"), large.get("oid"), _SHA256
    sound = isinstance(size, int) and not isinstance(size, bool) and 0 <= size < 1 << 50
    if entry.get("type") != "file" or not sound or not form.match(str(digest)):
        raise FormatError(
            "CorruptCheckpoint",
            f"the repository lists {path!r} as {str(entry.get('type'))[:40]!r}, not as a file "
            "with size and hash",
            field=REPO_FIELD,
            fix="Links are not followed; use a repository of plain files",
        )
    algorithm: Algorithm = "sha256" if form is _SHA256 else "git-sha1"
    return RemoteFile(path, int(str(size)), algorithm, str(digest))

"""A checkpoint on Meta's server as a source: its files with sizes and published hashes.

The listing is made once and kept beside the files: when the URL runs out in the middle and another
is put into the Secret, the fetch goes on at the same byte and asks for nothing that it knows.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from llama_operator.catalog.meta_files import (
    CHECKLIST,
    PARAMS,
    TOKENIZER_CHECKLIST,
    Listing,
)
from llama_weights import volume
from llama_weights.errors import AccessError, FormatError, VerifyError, WeightsError
from llama_weights.files import INTACT, RemoteFile, check_names
from llama_weights.hashing import digests_of
from llama_weights.sources.body import Body
from llama_weights.sources.meta_server import URL_FIELD, MetaServer

FORMAT = "meta"
_SMALL = 64 << 20
_ZIP = b"PK\x03\x04"
_LINE = re.compile(r"^([0-9a-fA-F]{32})[ \t]+\*?(?:\./)?(\S+)$")
_CHECKLISTS = (CHECKLIST, TOKENIZER_CHECKLIST)
_KEPT = "listing.json"


class MetaCheckpoint:
    """One folder of the server. Thread-safe once `files` has been called."""

    format = FORMAT
    # Requests are counted there, and a range that was cut goes on from where it was.
    largest_range = 4 << 30

    def __init__(self, server: MetaServer, listing: Listing, kept: Path | None = None) -> None:
        """`kept` is the directory where an earlier fetch may have left the listing."""
        self._server, self._listing = server, listing
        self._held: dict[str, bytes] = {}
        self._lock = threading.Lock()
        self._sizes: dict[str, int] = {}
        self._kept = kept / _KEPT if kept else None
        found = _load(self._kept, listing.folders) if self._kept else None
        self.folder = found["folder"] if found else ""
        self.commit = found["commit"] if found else ""
        self._files = [RemoteFile(**each) for each in found["files"]] if found else []

    @property
    def repo(self) -> str:
        """For the manifest: meta/FOLDER."""
        return f"meta/{self.folder or self._listing.folders[0] or 'root'}"

    def files(self) -> list[RemoteFile]:
        """All files of the checkpoint; asks the server unless they are known."""
        if not self._files:
            self._look()
        return self._files

    def wanted(self) -> list[RemoteFile]:
        """All of them: there is nothing that the conversion does not read."""
        return self.files()

    def noted(self, state: Path) -> None:
        """Keep the listing for the next run, in the directory of the unfinished fetch."""
        files = [vars(file) for file in self._files]
        data = {"folder": self.folder, "commit": self.commit, "files": files}
        volume.write_durably(state / _KEPT, json.dumps(data).encode())

    def forget(self) -> None:
        """The listing turned out wrong: the next run asks anew."""
        if self._kept:
            self._kept.unlink(missing_ok=True)

    def params(self) -> dict[str, Any]:
        """params.json, from the first folder that has it."""
        if PARAMS not in self._held:
            self._find_folder()
        return _object(self._held[PARAMS])

    def open(self, file: RemoteFile, start: int, end: int) -> Body | Held:
        """Bytes [start, end); one attempt, raises WeightsError or RangeIgnoredError."""
        with self._lock:
            data = self._held.get(file.path)
        if data is not None:
            return Held(data[start:end], start)
        return self._server.start(self._path(file.path), file.size, start, end)

    # -- looking ----------------------------------------------------------------------------------

    def _look(self) -> None:
        self.params()
        for name in (*self._listing.small, *self._listing.above):
            if name not in self._held:
                self._held[name] = self._server.read(self._path(name), _SMALL)
        heads = {name: self._weight(name) for name in self._listing.weights}
        sums = self._sums()
        self._check_sums(sums)
        lists = "".join(hashlib.sha256(self._held[name]).hexdigest() for name in sorted(self._held))
        sizes = json.dumps(heads, sort_keys=True)
        self.commit = hashlib.sha256(f"{self.folder}{lists}{sizes}".encode()).hexdigest()[:40]
        small = [_small_file(name, data, sums) for name, data in self._held.items()]
        large = [_weight_file(name, size, sums) for name, size in heads.items()]
        # What has been read already comes first: it costs no request, and is then on the disk.
        self._files = [*small, *large]

    def _find_folder(self) -> None:
        refused: list[WeightsError] = []
        for folder in self._listing.folders:
            self.folder = folder
            try:
                self._held[PARAMS] = self._server.read(self._path(PARAMS), _SMALL)
            except AccessError as error:
                # S3 behind CloudFront says 403 for what is not there.
                if error.reason not in ("NotFound", "URLExhausted"):
                    raise
                refused.append(error)
            else:
                _object(self._held[PARAMS])
                return
        raise refused[0]

    def _path(self, name: str) -> str:
        above = name in self._listing.above or not self.folder
        return name if above else f"{self.folder}/{name}"

    def _weight(self, name: str) -> int:
        head = self._server.head(self._path(name), len(_ZIP))
        if head.start != _ZIP:
            raise FormatError(
                "CorruptCheckpoint",
                f"{name} on {self._server.url.host} begins with {head.start!r}, no .pth file does",
                field=URL_FIELD,
                fix="Ask for a new URL; the server may have answered with an error page",
            )
        return head.size

    def _sums(self) -> dict[str, str]:
        found: dict[str, str] = {}
        for name in _CHECKLISTS:
            if name in self._held:
                found |= checksums(self._held[name], name)
        return found

    def _check_sums(self, sums: Mapping[str, str]) -> None:
        if not self._listing.checklist:
            return
        lacking = [name for name in self._listing.weights if name not in sums]
        beyond = sorted(
            name
            for name in sums
            if re.fullmatch(r"consolidated\.\d\d\.pth", name) and name not in self._listing.weights
        )
        if lacking or beyond:
            what = f"has no line for {lacking[0]}" if lacking else f"lists {beyond[0]} as well"
            raise VerifyError(
                "FilesMissing" if lacking else "UnexpectedFiles",
                f"{self.folder}/{CHECKLIST} {what}; this model has {len(self._listing.weights)} "
                ".pth files",
                field="spec.source.meta.folder",
                fix="Name the folder of this very model",
            )


class Held:
    """Bytes that have been read already, given like an answer."""

    def __init__(self, data: bytes, start: int) -> None:
        self._data, self.start = data, start

    def readinto(self, buffer: memoryview) -> int:
        """Fill a buffer, or less at the end; 0 after it."""
        count = min(len(buffer), len(self._data))
        buffer[:count], self._data = self._data[:count], self._data[count:]
        return count

    def close(self) -> None:
        """Nothing to give back."""


def checksums(data: bytes, name: str) -> dict[str, str]:
    """File name -> md5 in lower case, of lines `md5  name` or `md5  ./name`.

    Raises FormatError (CorruptCheckpoint) for a checklist that is none.
    """
    lines = [line.strip() for line in data.decode(errors="replace").splitlines() if line.strip()]
    matches = [_LINE.match(line) for line in lines]
    if not matches or not all(matches):
        start = data[:40].decode(errors="replace")
        raise FormatError(
            "CorruptCheckpoint",
            f"{name} is no list of md5 sums, it begins with {start!r}",
            field=URL_FIELD,
            fix="Ask for a new URL; the server may have answered with an error page",
        )
    return {match[2]: match[1].lower() for match in matches if match}


def _small_file(name: str, data: bytes, sums: Mapping[str, str]) -> RemoteFile:
    # The checklists are nobody's word but their own: what was read now must be what is written.
    if name not in sums:
        return RemoteFile(name, len(data), "sha256", hashlib.sha256(data).hexdigest())
    file = RemoteFile(name, len(data), "md5", sums[name])
    if digests_of(file, data).published != file.digest:
        raise VerifyError(
            "ChecksumMismatch",
            f"{name} is not the file of the checklist (md5)",
            fix="Something between here and Meta's server changes bytes; try without the proxy",
        )
    return file


def _weight_file(name: str, size: int, sums: Mapping[str, str]) -> RemoteFile:
    if name in sums:
        return RemoteFile(name, size, "md5", sums[name])
    return RemoteFile(name, size, "zip-crc32", INTACT)


def _object(data: bytes) -> dict[str, Any]:
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        start = data[:40].decode(errors="replace")
        raise FormatError(
            "CorruptCheckpoint", f"{PARAMS} is no JSON object, it begins with {start!r}"
        )
    return found


def _load(path: Path, folders: Sequence[str]) -> dict[str, Any] | None:
    """A kept listing of one of the folders; None for none, and for one that is not sound."""
    try:
        found = json.loads(path.read_bytes())
        files = [RemoteFile(**each) for each in found["files"]]
        # It lay on a volume that others may write to.
        check_names(file.path for file in files)
        sound = found["folder"] in folders and re.fullmatch(r"[0-9a-f]{40}", found["commit"])
        return found if sound and files else None
    except (OSError, ValueError, KeyError, TypeError, WeightsError):
        return None

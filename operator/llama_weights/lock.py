"""One writer per directory, on one node or on many.

Two Jobs can meet on one volume: a second object with the same path, or a pod that the control
plane believes dead. The lock is a file with its owner's name and a heartbeat, held with flock
where the file system has it. A dead owner on the same boot is known at once (the kernel dropped
its flock); a silent one elsewhere is believed dead when its heartbeat has not moved for `ttl`
seconds of OUR clock, so clocks of two nodes are never compared. There is no fencing: a process
that was stopped for longer than the ttl can wake and write; hashes before every rename and
`still_ours` before the manifest keep that from being published.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import secrets
import socket
import threading
import time
from pathlib import Path
from typing import Any

from llama_weights.errors import DownloadError, WeightsError
from llama_weights.journal import boot_id
from llama_weights.volume import guarded, make_directory, open_new, write_at

TTL = 60.0
_WIDTH = 512
_POLL = 0.5


class Lock:
    """`with Lock(path):` or DownloadError (Locked, temporary) with the owner's name."""

    def __init__(self, path: Path, ttl: float = TTL, stop: threading.Event | None = None) -> None:
        self._path, self._ttl = path, ttl
        self._stop = stop or threading.Event()
        self._released = threading.Event()
        self._owner = f"{socket.gethostname()}:{os.getpid()}"
        self._nonce = secrets.token_hex(8)
        self._beat = 0
        self._descriptor = -1
        self._thread = threading.Thread(target=self._heartbeat, daemon=True, name="lock")

    def __enter__(self) -> Lock:
        self._descriptor = self._open()
        try:
            self._write()
        except BaseException:
            os.close(self._descriptor)
            raise
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._released.set()
        self._thread.join()
        try:
            with guarded(self._path):
                if self._content().get("nonce") == self._nonce:
                    self._path.unlink(missing_ok=True)
        finally:
            os.close(self._descriptor)

    def still_ours(self) -> None:
        """Raise DownloadError (Locked) when another process has taken the directory over."""
        found = read(self._path)
        if found.get("nonce") != self._nonce:
            raise self._locked(found)

    def _open(self) -> int:
        while True:
            make_directory(self._path.parent)
            try:
                descriptor = open_new(self._path)
            except WeightsError as error:
                if isinstance(error.__cause__, FileNotFoundError):
                    continue  # its last owner has just removed the directory
                raise
            try:
                self._acquire(descriptor)
                if _same_file(descriptor, self._path):
                    return descriptor
            except BaseException:
                os.close(descriptor)
                raise
            os.close(descriptor)  # its last owner has removed it meanwhile

    def _acquire(self, descriptor: int) -> None:
        flocked = _flock(descriptor)
        found = _decode(os.pread(descriptor, _WIDTH, 0))
        if flocked is False:
            raise self._locked(found)
        if found and not (flocked and boot_id() and found.get("boot") == boot_id()):
            self._wait_for_silence(found)

    def _wait_for_silence(self, found: dict[str, Any]) -> None:
        deadline = time.monotonic() + self._ttl
        while time.monotonic() < deadline and not self._stop.wait(_POLL):
            now = read(self._path)  # opened anew: NFS looks for changes only then
            if not now:
                return
            if now != found:
                raise self._locked(now)

    def _locked(self, found: dict[str, Any]) -> WeightsError:
        owner = str(found.get("owner", "another process"))[:120]
        return DownloadError(
            "Locked",
            f"{self._path.parent.parent} is being written by {owner}",
            fix="Wait for that Job, or delete it; its lock ends with it",
            temporary=True,
        )

    def _content(self) -> dict[str, Any]:
        return _decode(os.pread(self._descriptor, _WIDTH, 0))

    def _write(self) -> None:
        self._beat += 1
        data = {"owner": self._owner, "nonce": self._nonce, "boot": boot_id()}
        text = json.dumps({**data, "ttl": self._ttl, "beat": self._beat})
        write_at(self._descriptor, text.ljust(_WIDTH).encode(), 0, self._path)
        with guarded(self._path):
            os.fsync(self._descriptor)

    def _heartbeat(self) -> None:
        while not self._released.wait(self._ttl / 4):
            try:
                if self._content().get("nonce") == self._nonce:
                    self._write()
            except (OSError, WeightsError):
                continue  # the next beat may succeed; still_ours has the last word


def read(path: Path) -> dict[str, Any]:
    """What a lock says of its owner; empty where there is none."""
    try:
        return _decode(path.read_bytes()[:_WIDTH])
    except OSError:
        return {}


def _decode(data: bytes) -> dict[str, Any]:
    try:
        found = json.loads(data)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _flock(descriptor: int) -> bool | None:
    """True: held; False: somebody else holds it; None: this file system has no flock."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return False if error.errno in (errno.EWOULDBLOCK, errno.EACCES) else None
    return True


def _same_file(descriptor: int, path: Path) -> bool:
    try:
        there = path.stat()
    except FileNotFoundError:
        return False
    return os.path.samestat(os.fstat(descriptor), there)

"""The volume: space, rights and durability, with every refusal in words.

A full disk, a quota, a read-only mount and a wrong owner all arrive as an OSError deep inside a
thread; here each becomes a VolumeError that says how much is missing, who we are and what to do.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import functools
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from llama_weights.errors import DownloadError, VolumeError, WeightsError

FILE_MODE, DIRECTORY_MODE = 0o644, 0o755
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_READ_ONLY = (errno.EROFS, errno.EACCES, errno.EPERM)
# For the manifest, the journals and what the file system itself needs.
RESERVE = 16 << 20


@contextlib.contextmanager
def guarded(path: Path) -> Iterator[None]:
    """Turn the OSErrors of a volume into VolumeError (Full, ReadOnly) or DownloadError (Failed)."""
    try:
        yield
    except OSError as error:
        if isinstance(error, TimeoutError | ConnectionError):
            raise
        raise explain(error, path) from error


def explain(error: OSError, path: Path) -> WeightsError:
    """The error for what the system said about a path."""
    if error.errno in _FULL:
        return full(path, f"{os.strerror(error.errno or 0)} while writing")
    if error.errno in _READ_ONLY:
        return VolumeError(
            "ReadOnly",
            f"{path} cannot be written by uid {os.getuid()}, gid {os.getgid()}: {error.strerror}",
            field="spec.storage",
            fix="Mount the volume read-write and give it the pod's group (fsGroup)",
        )
    return DownloadError(
        "Failed",
        f"{path}: {error.strerror or type(error).__name__}",
        field="spec.storage",
        fix="Look at the volume and its node",
        temporary=True,
    )


def full(path: Path, what: str, needed: int = 0) -> VolumeError:
    """The error for a volume without room, with its numbers where they can be had."""
    free, total = space(path)
    wants = f"{size(needed)} more needed, " if needed else ""
    return VolumeError(
        "Full",
        f"{path}: {what}: {wants}{size(free)} free of {size(total)}",
        field="spec.storage.size",
        fix="Enlarge the claim (its class must allow expansion) or remove other copies from it",
    )


def space(path: Path) -> tuple[int, int]:
    """Free bytes for us and all bytes of the file system that a path is on (or will be)."""
    found = os.statvfs(_existing(path))
    return found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize


def used(directory: Path) -> int:
    """Bytes that the files below a directory take on the disk; 0 where there is none."""
    found = (path.lstat() for path in directory.rglob("*") if path.is_file())
    return sum(each.st_blocks * 512 for each in found)


def check_space(path: Path, needed: int) -> None:
    """Raise VolumeError (Full) when `needed` bytes do not fit beside what is there."""
    with guarded(path):
        free, total = space(path)
    # Some network file systems report no size at all; there only writing can tell.
    if total and needed + RESERVE > free:
        raise full(path, "the copy does not fit", needed + RESERVE)


def _existing(path: Path) -> Path:
    return next(each for each in (path, *path.absolute().parents) if each.exists())


def make_directory(path: Path) -> None:
    """Make a directory and its parents, readable for every UID whatever the umask is."""
    absent = [each for each in (path, *path.parents) if not each.exists()]
    with guarded(path):
        for each in reversed(absent):
            each.mkdir(exist_ok=True)
            # The set-group-ID bit of an fsGroup volume must survive.
            kept = stat.S_IMODE(each.stat().st_mode) & stat.S_ISGID
            each.chmod(DIRECTORY_MODE | kept)


def open_new(path: Path, flags: int = os.O_RDWR) -> int:
    """Open or make a regular file with mode 0644, never through a link. Returns a descriptor."""
    with guarded(path):
        descriptor = os.open(path, flags | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, FILE_MODE)
        with contextlib.suppress(PermissionError):  # some network file systems have no modes
            os.fchmod(descriptor, FILE_MODE)
    return descriptor


def preallocate(descriptor: int, length: int, path: Path) -> None:
    """Reserve `length` bytes, so that a full disk is known before the download, not after."""
    if length and not _fallocate(descriptor, length, path):
        # Not offered here (NFS before 4.2, some FUSE): glibc's emulation would write every block.
        with guarded(path):
            os.ftruncate(descriptor, length)


def _fallocate(descriptor: int, length: int, path: Path) -> bool:
    call = _libc_fallocate()
    if call is None:
        return False
    while call(descriptor, 0, 0, length) != 0:
        code = ctypes.get_errno()
        if code == errno.EINTR:
            continue
        if code in (*_FULL, *_READ_ONLY):
            raise explain(OSError(code, os.strerror(code)), path)
        return False
    return True


@functools.cache
def _libc_fallocate() -> Callable[..., Any] | None:
    try:
        call = ctypes.CDLL(None, use_errno=True).fallocate64
    except (OSError, AttributeError):
        return None
    call.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]
    return call


def write_at(descriptor: int, data: memoryview | bytes, offset: int, path: Path) -> None:
    """Write all of `data` at an offset."""
    view = memoryview(data)
    with guarded(path):
        while view:
            written = os.pwrite(descriptor, view, offset)
            view, offset = view[written:], offset + written


def sync_directory(path: Path) -> None:
    """Make names in a directory durable."""
    with guarded(path):
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def write_durably(path: Path, data: bytes, staging: Path | None = None) -> None:
    """Write a small file in `staging` (same volume), then move it there: whole, or not at all."""
    new = (staging or path.parent) / f"{path.name}.new"
    descriptor = open_new(new, os.O_WRONLY | os.O_TRUNC)
    try:
        write_at(descriptor, data, 0, new)
        with guarded(new):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
    with guarded(path):
        new.replace(path)
    sync_directory(path.parent)


def size(count: float) -> str:
    """Bytes for people: 1.5 GiB."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.2f} TiB"

"""Keeps what an inference engine has compiled, for the next start of the same: beside the engine.

Before the engine starts, what was kept is unpacked into the pod's own directory; the engine never
sees the volume. Once the engine is well, and if nothing was kept yet, its directory is packed into
one file, which gets its name, with its hash, when it is complete. So nothing half-written is ever
read, two that start at once do not meet, and what was kept is not written again. What goes wrong
here costs the time that would have been won, and nothing else.
"""

from __future__ import annotations

import fnmatch
import hashlib
import logging
import os
import platform
import shutil
import signal
import sys
import tarfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from types import FrameType

READY, UNPACKED, PART = ".llama-restored", ".llama-unpacking", ".part-"
# Of other starts than this one: so many are kept for those who go back to an earlier revision.
KEPT = 3
PART_SECONDS = 3600.0
LOOK_SECONDS = 2.0
HASH_DIGITS = 32
# What holds of one node only, or is not finished.
LEFT_OUT = (".llama-*", "startup_plan", "gpu_p2p_access_cache*", "*.lock", "*.tmp")

log = logging.getLogger("llama_compile_cache")


def entry(key: str) -> str:
    """Of the operator's key, and of this machine: code was compiled for its processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    kinds = ("flags", "Features", "model name", "CPU part")
    cpu = sorted({line for line in lines if line.split("\t")[0].strip() in kinds})
    machine = hashlib.sha256("\n".join((platform.machine(), *cpu)).encode()).hexdigest()
    return f"{key}-{machine[:10]}"


def kept(store: Path, name: str) -> list[Path]:
    """Complete files of this name; more than one only where two were at it at once."""
    return sorted(store.glob(f"{name}-{'[0-9a-f]' * HASH_DIGITS}.tar"))


# -- before the engine starts ----------------------------------------------------------------------


def restore(store: Path, cache: Path, name: str) -> bool:
    """Unpack what was kept under this name; False, and nothing is there, where that fails."""
    for archive in kept(store, name)[:1]:
        began, target = time.monotonic(), cache / UNPACKED
        try:
            _check(archive)
            _unpack(archive, target)
            for found in sorted(target.iterdir()):
                found.rename(cache / found.name)
        except (OSError, tarfile.TarError, ValueError) as error:
            log.warning("%s is not used: %s", archive.name, error)
        else:
            log.info("%s restored in %.1f s", archive.name, time.monotonic() - began)
            return True
        finally:
            shutil.rmtree(target, ignore_errors=True)
    return False


def _check(archive: Path) -> None:
    wanted = archive.stem.rsplit("-", 1)[1]
    if _hash(archive) != wanted:
        archive.unlink(missing_ok=True)
        raise ValueError("its content is not what was written; it is removed")


def _unpack(archive: Path, target: Path) -> None:
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    with tarfile.open(archive, "r:") as tar:
        tar.extractall(target, filter="data")


# -- when the engine is well -----------------------------------------------------------------------


def publish(store: Path, cache: Path, name: str) -> bool:
    """Keep what the engine has compiled, unless somebody has done so; True where this did."""
    if kept(store, name):
        return False
    part = store / f"{PART}{platform.node()}-{os.getpid()}"
    try:
        _drop_parts(store)
        made = _pack(cache, part)
        if not made or kept(store, name):
            return False
        part.chmod(0o444)
        part.rename(store / f"{name}-{made}.tar")
        _sync(store)
    except (OSError, tarfile.TarError) as error:
        log.warning("nothing is kept: %s", error)
        return False
    finally:
        part.unlink(missing_ok=True)
    _drop_others(store, name)
    log.info("kept %s-%s.tar", name, made)
    return True


def _pack(cache: Path, part: Path) -> str:
    """The hash of the file; "" where there is nothing to keep."""
    found = [path for path in sorted(cache.iterdir()) if not _left_out(path.name)]
    if not any(path.is_file() for each in found for path in (each, *each.rglob("*"))):
        return ""
    with tarfile.open(part, "w:", format=tarfile.PAX_FORMAT) as tar:
        for path in found:
            tar.add(path, path.name, filter=_plain)
    with part.open("rb") as file:
        os.fsync(file.fileno())
    return _hash(part)


def _hash(path: Path) -> str:
    # hashlib.file_digest is not in the Python of every image.
    found = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            found.update(chunk)
    return found.hexdigest()[:HASH_DIGITS]


def _plain(info: tarfile.TarInfo) -> tarfile.TarInfo | None:
    whole = info.isreg() or info.isdir()
    return info if whole and not _left_out(Path(info.name).name) else None


def _left_out(name: str) -> bool:
    return any(fnmatch.fnmatch(name, pattern) for pattern in LEFT_OUT)


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _drop_parts(store: Path) -> None:
    """Of pods that were ended while they wrote."""
    for part in store.glob(f"{PART}*"):
        if time.time() - part.stat().st_mtime > PART_SECONDS:
            part.unlink(missing_ok=True)


def _drop_others(store: Path, name: str) -> None:
    """All but the newest, and of two with this name the second."""
    for twin in kept(store, name)[1:]:
        twin.unlink(missing_ok=True)
    try:
        ages = sorted((path.stat().st_mtime, path) for path in store.glob("*.tar"))
        for _, path in ages[:-KEPT]:
            path.unlink(missing_ok=True)
    except OSError as error:
        log.warning("old ones stay: %s", error)


# -- the program -----------------------------------------------------------------------------------


def well(url: str) -> bool:
    """Whether the engine answers, and so has compiled all that it compiles."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 - of this pod
            return bool(answer.status == 200)
    except (OSError, urllib.error.URLError):
        return False


def main() -> None:
    """Restore, say so, wait until the engine is well, keep, and stay out of the way."""
    logging.basicConfig(level=logging.INFO, format="%(name)s: %(message)s")
    # The first process of a container is not ended by a signal that it does not take.
    signal.signal(signal.SIGTERM, _end)
    store, cache = Path(os.environ["LLAMA_CACHE_STORE"]), Path(os.environ["LLAMA_CACHE_DIR"])
    name = entry(os.environ["LLAMA_CACHE_KEY"])
    # After a restart of this container the engine is at work in its directory.
    restored = not (cache / READY).exists() and restore(store, cache, name)
    (cache / READY).touch()
    if not restored and not kept(store, name):
        while not well(os.environ["LLAMA_CACHE_HEALTH"]):
            time.sleep(LOOK_SECONDS)
        publish(store, cache, name)
    while True:
        signal.pause()


def _end(_number: int, _frame: FrameType | None) -> None:
    sys.exit(0)


if __name__ == "__main__":
    main()

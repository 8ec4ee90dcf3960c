"""Is a published copy still what was published? Every byte is read again."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from llama_weights import manifest, volume
from llama_weights.errors import VerifyError, WeightsError
from llama_weights.hashing import sha256_of
from llama_weights.manifest import Entry, Manifest
from llama_weights.meter import Meter


def verify(directory: Path, meter: Meter, stop: threading.Event) -> Manifest:
    """The manifest, when every file has its bytes and there are no others.

    Raises VerifyError: FilesMissing, then ChecksumMismatch, then UnexpectedFiles, by name.
    """
    with volume.guarded(directory):
        found = manifest.load(directory)
    if found is None:
        raise _wrong(
            "FilesMissing",
            f"{directory} has no manifest.json, so it is not a complete copy",
            [],
        )
    missing = manifest.missing(directory, found)
    if missing:
        raise _wrong("FilesMissing", "missing, or of another size", missing)
    changed = _changed(directory, found, meter, stop)
    if changed:
        raise _wrong("ChecksumMismatch", "not the bytes of the manifest", changed)
    unexpected = manifest.unexpected(directory, {entry.path for entry in found.files})
    if unexpected:
        raise _wrong("UnexpectedFiles", "not in the manifest", unexpected)
    return found


def _changed(directory: Path, found: Manifest, meter: Meter, stop: threading.Event) -> list[str]:
    meter.phase, meter.total = "Verifying", found.total

    def bad(entry: Entry) -> bool:
        path = directory / entry.path
        with volume.guarded(path):
            wrong = sha256_of(path, stop) != entry.sha256
        meter.add(entry.bytes)
        return wrong

    # Hashing leaves the interpreter's lock, so threads are as good as processes.
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        verdicts = pool.map(bad, found.files)
        return [entry.path for entry, wrong in zip(found.files, verdicts, strict=True) if wrong]


def _wrong(reason: str, what: str, names: list[str]) -> WeightsError:
    shown = ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")
    return VerifyError(
        reason,
        f"{shown}: {what}" if names else what,
        fix="Fetch the copy again into a fresh directory",
    )

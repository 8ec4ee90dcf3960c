"""The bookkeeping of an unfinished fetch, in `.fetch/` beside the files.

`plan.json` says which repository, commit and files a fetch was about, so a later one can remove
what only the earlier one wanted, and touches nothing that no fetch ever made: a wrong `--dest`
must not cost anybody a home directory. `ledger.jsonl` has a line for each file whose hash was
right, so that a finished file is not read again.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from llama_weights import manifest, volume
from llama_weights.errors import VerifyError, WeightsError
from llama_weights.files import MANIFEST, STATE_DIRECTORY, RemoteFile, unsafe
from llama_weights.lock import Lock
from llama_weights.manifest import Entry

LOCK, _PLAN, _LEDGER = "lock", "plan.json", "ledger.jsonl"


class State:
    """`.fetch/` of one directory; all but the constructor need its lock."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.path = directory / STATE_DIRECTORY

    @property
    def lock(self) -> Path:
        """Where the lock lies."""
        return self.path / LOCK

    def begin(self, repo: str, commit: str, files: Sequence[RemoteFile]) -> None:
        """Take over an earlier fetch of the same, clear away one of something else.

        Raises VerifyError (UnexpectedFiles) for files that no fetch has made.
        """
        plan, names = self._plan(), [file.path for file in files]
        strangers = manifest.unexpected(self.directory, self.names() | set(names))
        if strangers:
            raise _strangers(self.directory, strangers)
        if (plan.get("repo"), plan.get("commit")) != (repo, commit):
            self._clear(_names(plan))
        (self.directory / MANIFEST).unlink(missing_ok=True)
        self._intend(repo, commit, names)

    def names(self) -> set[str]:
        """Files that a fetch has made or was about to make, published or not."""
        return set(_names(self._plan())) | self._published()

    def remove(self) -> None:
        """Take away all that fetches have made, beginning with what makes it a copy.

        The names are noted before the manifest goes: an interrupted removal can be gone on with.
        """
        names = self.names()
        self._intend("", "", sorted(names))
        (self.directory / MANIFEST).unlink(missing_ok=True)
        self._clear(names)
        for folder in {parent for name in names for parent in Path(name).parents}:
            _remove_empty(self.directory / folder, self.directory)

    def ledger(self) -> dict[tuple[str, str], str]:
        """(path, publisher's digest) -> sha256 of every file whose hash was right."""
        found: dict[tuple[str, str], str] = {}
        for line in self._lines():
            with contextlib.suppress(ValueError, KeyError, TypeError):
                data = json.loads(line)
                found[str(data["path"]), str(data["digest"])] = str(data["sha256"])
        return found

    def vouch(self, file: RemoteFile, sha256: str) -> None:
        """Note that the bytes of a file, already on the disk, have the right hash."""
        line = json.dumps({"path": file.path, "digest": file.digest, "sha256": sha256})
        # Written whole each time: it is short, and an appended line could be torn.
        lines = [*self._lines(), line]
        volume.write_durably(self.path / _LEDGER, ("\n".join(lines) + "\n").encode())

    def publish(
        self, repo: str, commit: str, entries: Iterable[Entry], form: str = "safetensors"
    ) -> manifest.Manifest:
        """Write the manifest and clear the bookkeeping away."""
        made = manifest.Manifest(repo, commit, tuple(sorted(entries)), form)
        volume.write_durably(self.directory / MANIFEST, made.encode(), self.path)
        self._clear(())
        return made

    def tidy(self) -> None:
        """Under the lock: forget a fetch that is over, or has not brought a single byte."""
        brought = any(self.path.glob("*.part")) or _holds_files(self.directory)
        if self._published() or not brought:
            self._clear(())

    def sweep(self, stop: threading.Event) -> None:
        """Of a complete copy: clear away what a Job has left that died after its last file.

        That is no reason to fail: the copy may be mounted read-only by now.
        """
        if self.path.is_dir():
            with contextlib.suppress(WeightsError), Lock(self.lock, stop=stop):
                self.tidy()
            self.leave()

    def leave(self) -> None:
        """Without the lock: remove the directories if they are empty."""
        for directory in (self.path, self.directory):
            with contextlib.suppress(OSError):
                directory.rmdir()

    def _intend(self, repo: str, commit: str, names: Sequence[str]) -> None:
        data = {"repo": repo, "commit": commit, "files": names}
        volume.write_durably(self.path / _PLAN, json.dumps(data).encode())

    def _clear(self, names: Iterable[str]) -> None:
        with volume.guarded(self.directory):
            for name in names:
                (self.directory / name).unlink(missing_ok=True)
            for entry in self.path.iterdir() if self.path.is_dir() else ():
                if entry.is_dir() and not entry.is_symlink():
                    shutil.rmtree(entry)
                elif entry.name != LOCK:
                    entry.unlink(missing_ok=True)

    def _plan(self) -> dict[str, Any]:
        try:
            found = json.loads((self.path / _PLAN).read_bytes())
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def _published(self) -> set[str]:
        try:
            found = manifest.load(self.directory)
        except VerifyError:
            return set()
        return {entry.path for entry in found.files} if found else set()

    def _lines(self) -> list[str]:
        try:
            return (self.path / _LEDGER).read_text().splitlines()
        except OSError:
            return []


def _names(plan: dict[str, Any]) -> list[str]:
    files = plan.get("files")
    listed = files if isinstance(files, list) else []
    return [name for name in listed if isinstance(name, str) and not unsafe(name)]


def _remove_empty(folder: Path, root: Path) -> None:
    with contextlib.suppress(OSError):
        while folder != root:
            folder.rmdir()
            folder = folder.parent


def _holds_files(directory: Path) -> bool:
    return directory.is_dir() and any(
        entry.name != STATE_DIRECTORY for entry in directory.iterdir()
    )


def _strangers(directory: Path, names: Sequence[str]) -> VerifyError:
    shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    return VerifyError(
        "UnexpectedFiles",
        f"{directory} holds files that no fetch has made: {shown}",
        field="--dest",
        fix="Choose an empty directory, or remove them",
    )

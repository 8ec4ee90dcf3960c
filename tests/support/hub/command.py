"""The real `llama-weights`: in this process where that is enough, in one of its own to be killed."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from llama_weights.cli import app
from tests.support.hub.hub import Hub
from tests.support.hub.sample import REPO, UNWANTED

TOKEN = "hf_TestTokenNeverToBeSeen0123456789"
PATIENCE = ("--retries", "3", "--stall-timeout", "1")
MIB = 1 << 20
_CLEAN = ("HF_TOKEN", "HF_ENDPOINT", "HTTPS_PROXY", "HTTP_PROXY", "https_proxy", "http_proxy")


@dataclass(frozen=True)
class Outcome:
    """What a run left: exit code, result and everything it has said."""

    code: int
    result: dict[str, Any]
    output: str

    @property
    def verdict(self) -> tuple[int, str, str]:
        """Exit code, condition and reason."""
        return self.code, self.result.get("condition", ""), self.result.get("reason", "")


class Command:
    """A started `llama-weights`."""

    def __init__(self, *args: str, env: Mapping[str, str] | None = None, **options: Any) -> None:
        kept = {key: value for key, value in os.environ.items() if key not in _CLEAN}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "llama_weights", *args],
            env={**kept, "NO_PROXY": "", "no_proxy": "", **(env or {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            **options,
        )

    def wait(self, seconds: float = 60) -> Outcome:
        """Its end."""
        output, _ = self.process.communicate(timeout=seconds)
        return _outcome(self.process.returncode, output)

    def kill(self) -> None:
        """As the kernel kills for memory: without a last word."""
        self.process.send_signal(signal.SIGKILL)
        self.process.communicate(timeout=10)

    def terminate(self) -> None:
        """As a kubelet asks a container to stop."""
        self.process.send_signal(signal.SIGTERM)


def run(*args: str, env: Mapping[str, str] | None = None) -> Outcome:
    """Run to the end inside this process: the same code from the arguments to the exit code."""
    clean: dict[str, str | None] = dict.fromkeys(_CLEAN)
    done = CliRunner().invoke(
        app, args, env={**clean, "NO_PROXY": "", "no_proxy": "", **(env or {})}
    )
    return _outcome(done.exit_code, done.output)


def _outcome(code: int, output: str) -> Outcome:
    lines = [line for line in output.splitlines() if line.startswith('{"ok"')]
    return Outcome(code, json.loads(lines[-1]) if lines else {}, output)


def preflight(
    endpoint: str, repo: str, *args: str, env: Mapping[str, str] | None = None
) -> Outcome:
    """A preflight of the branch main."""
    return run("preflight", "--repo", repo, "--endpoint", endpoint, *args, env=env)


def fetch_arguments(endpoint: str, repo: str, commit: str, directory: Path) -> list[str]:
    """The arguments of a fetch."""
    where = ["--endpoint", endpoint, "--dest", str(directory)]
    return ["fetch", "--repo", repo, "--commit", commit, *where]


def arguments(hub: Hub, directory: Path) -> list[str]:
    """Fetch the sample repository of a hub."""
    return fetch_arguments(hub.url, REPO, hub.repositories[REPO].commit, directory)


def fetch(hub: Hub, directory: Path, *args: str, env: Mapping[str, str] | None = None) -> Outcome:
    """Fetch the sample repository, with little patience."""
    return run(*arguments(hub, directory), *PATIENCE, *args, env=env)


def files_in(directory: Path) -> dict[str, bytes]:
    """All files below a directory, bookkeeping included."""
    found = (path for path in directory.rglob("*") if path.is_file())
    return {path.relative_to(directory).as_posix(): path.read_bytes() for path in found}


def assert_complete(outcome: Outcome, hub: Hub, directory: Path) -> None:
    """Exactly the wanted files with the right bytes, and the manifest that the result names."""
    assert (outcome.code, outcome.result.get("ok")) == (0, True), outcome.output
    found = files_in(directory)
    manifest = found.pop("manifest.json")
    blobs = hub.repositories[REPO].blobs
    wanted = {name: blob.sha256 for name, blob in blobs.items() if name not in UNWANTED}
    assert {name: hashlib.sha256(data).hexdigest() for name, data in found.items()} == wanted
    assert outcome.result["digest"] == f"sha256:{hashlib.sha256(manifest).hexdigest()}"


def wait_for(check: Callable[[], object], seconds: float = 15) -> None:
    """Wait until something is true."""
    deadline = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < deadline
        time.sleep(0.01)

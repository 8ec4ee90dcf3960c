"""The registry that a release goes to, by crane: its logins are docker's."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from images.release.oci import Object
from images.release.running import attempt, run
from tests.support.cluster.errors import ClusterError
from tests.support.cluster.ports import held

# What a registry says of a name that is free; all else is an error, and no free name.
_ABSENT = ("MANIFEST_UNKNOWN", "NAME_UNKNOWN", "404 Not Found")
_WAIT_SECONDS = 15.0


@dataclass(frozen=True)
class Registry:
    """`program` is crane."""

    program: str

    def push(self, layout: Path, repository: str, digest: str) -> None:
        """An index with its images, without any tag."""
        self._run("push", "--index", str(layout), f"{repository}@{digest}")

    def copy(self, source: str, target: str) -> None:
        """From one registry to another."""
        self._run("copy", source, target)

    def tag(self, reference: str, tag: str) -> None:
        """Give what is there a name."""
        self._run("tag", reference, tag)

    def digest(self, reference: str, platform: str = "") -> str:
        """Digest of what a name stands for; "" where it is free."""
        return self._asked("digest", *((f"--platform={platform}",) if platform else ()), reference)

    def manifest(self, reference: str) -> Object:
        """What a name stands for; {} where it is free."""
        said: Object = json.loads(self._asked("manifest", reference) or "{}")
        return said

    def _asked(self, *words: str) -> str:
        done = attempt([self.program, *words])
        if done.returncode == 0:
            return done.stdout.strip()
        if any(each in done.stderr for each in _ABSENT):
            return ""
        raise ClusterError(f"asking for {words[-1]} failed: {done.stderr.strip()[-500:]}")

    def _run(self, *words: str) -> None:
        run([self.program, *words])

    @contextmanager
    def beside(self) -> Iterator[str]:
        """A registry of this machine for a while: helm pushes to a tag, and ours shall have none yet."""
        with held(1) as (port,):
            pass
        host = f"127.0.0.1:{port}"
        command = [self.program, "registry", "serve", f"--address={host}"]
        with subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as served:
            try:
                self._wait(host)
                yield host
            finally:
                served.terminate()

    def _wait(self, host: str) -> None:
        until = time.monotonic() + _WAIT_SECONDS
        while attempt([self.program, "catalog", host]).returncode:
            if time.monotonic() > until:
                raise ClusterError(f"no registry answers at {host}")
            time.sleep(0.1)

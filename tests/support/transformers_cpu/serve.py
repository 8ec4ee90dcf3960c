"""The launcher with transformers' real server on the loopback interface."""

from __future__ import annotations

import json
import os
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from llama_operator import guard
from tests.support.cluster.ports import held
from tests.support.transformers_cpu.install import install

CODE = Path(guard.__file__).parent
# torch alone takes twenty seconds to import on a machine that is busy.
START_SECONDS = 180.0


class EndedError(Exception):
    """The server ended; says what it wrote last."""


@contextmanager
def serve(model: Path, name: str, keys: Path, context: int, log: Path) -> Iterator[int]:
    """The port of a server that answers; ended by SIGTERM. Raises EndedError."""
    with held(1) as (port,):
        pass
    process = start(model, name, keys, context, log, port)
    try:
        _await(process, port, log)
        yield port
    finally:
        process.terminate()
        process.wait(timeout=60)


def start(
    model: Path, name: str, keys: Path, context: int, log: Path, port: int
) -> subprocess.Popen[bytes]:
    """The process, with only what a pod gives it."""
    setting = {
        "path": str(model), "name": name, "device": "cpu", "dtype": "bfloat16", "port": port,
        "context": context, "drain": 5,
    }  # fmt: skip
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(log.parent),
        "PYTHONPATH": str(CODE),
        "PYTHONUNBUFFERED": "1",
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": "1",
        guard.KEYS_VARIABLE: str(keys),
    }
    argv = [str(install() / "bin/python"), "-m", guard.LAUNCHER, json.dumps(setting)]
    with log.open("wb") as out:
        return subprocess.Popen(argv, env=env, stdout=out, stderr=subprocess.STDOUT)


def _await(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not _answers(port):
        if process.poll() is not None or time.monotonic() > deadline:
            raise EndedError(log.read_text()[-3000:])
        time.sleep(0.2)


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False

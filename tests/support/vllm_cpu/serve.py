"""A vLLM server as a local process on a free loopback port, for tests that need no cluster.

The caller gets a server that answers, or an error with the end of its log. It is stopped by the
ids of its own process group, and for good: vLLM ignores SIGTERM while it starts, and its engine
and workers are processes of their own that would outlive it.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.cluster import paths
from tests.support.vllm_cpu.install import install

STOP_SECONDS = 20.0
SHUTDOWN_TIMEOUT = 5  # seconds for requests in flight; with 0 vLLM hangs on them at SIGTERM
POLL_SECONDS = 0.25


class ServerError(Exception):
    """vLLM ended or did not get ready in time; carries the end of its log."""


@dataclass(frozen=True)
class Server:
    """A server that has answered /health with 200 once."""

    process: subprocess.Popen[bytes]
    port: int
    key: str
    log: Path
    seconds_to_ready: float

    @property
    def base_url(self) -> str:
        """What the `openai` client takes as `base_url`."""
        return f"http://127.0.0.1:{self.port}/v1"


@contextmanager
def serve(
    model: Path,
    *,
    name: str,
    tensor_parallel: int = 1,
    args: Sequence[str] = (),
    env: Mapping[str, str] | None = None,
    log: Path | None = None,
    ready_within: float = 180.0,
    program: Sequence[str] = ("vllm", "serve"),
) -> Iterator[Server]:
    """Serve the model in directory `model` as `name` until the block ends.

    `args` and `env` come after, and so override, what this helper sets; `log` stays, a log of
    its own goes with the server. `program` is the command of a container.
    Raises ServerError unless /health answers in `ready_within` s.
    """
    # Short, since ZeroMQ's socket files lie here and their paths may have 107 characters.
    scratch = Path(tempfile.mkdtemp(prefix="vllm-", dir="/tmp"))
    port, key = _free_port(), secrets.token_hex(16)
    log = log or scratch / "log"
    command = [*_program(program), *_arguments(model, name, port, tensor_parallel), *args]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            env=_environment(scratch, key) | dict(env or {}),
            cwd=scratch,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        seconds = _wait_ready(process, port, log, ready_within)
        yield Server(process, port, key, log, seconds)
    finally:
        _stop(process)
        shutil.rmtree(scratch, ignore_errors=True)


def _program(words: Sequence[str]) -> list[str]:
    """A command of an image, with the program of this machine's environment."""
    program, *others = words
    return [str(install() / "bin" / program), *others]


def _arguments(model: Path, name: str, port: int, tensor_parallel: int) -> list[str]:
    return [
        str(model),
        f"--served-model-name={name}",
        "--host=127.0.0.1",
        f"--port={port}",
        "--dtype=bfloat16",
        f"--tensor-parallel-size={tensor_parallel}",
        "--max-num-seqs=16",
        # Without compiled graphs the start takes 20 s less and needs no C++ compiler.
        "--enforce-eager",
        # Left to itself vLLM takes most of the machine's memory.
        "--kv-cache-memory-bytes=384M",
        f"--shutdown-timeout={SHUTDOWN_TIMEOUT}",
        "--disable-access-log-for-endpoints=/health,/metrics",
    ]


def _environment(scratch: Path, key: str) -> dict[str, str]:
    """All of a server's environment: nothing of the caller's gets in, such as a token."""
    return {
        "PATH": os.defpath,
        "HOME": str(scratch),
        "TMPDIR": str(scratch),
        "VLLM_TARGET_DEVICE": "cpu",
        "VLLM_API_KEY": key,
        "VLLM_HOST_IP": "127.0.0.1",
        "VLLM_NO_USAGE_STATS": "1",
        # What vLLM found out about a model class is worth 7 s at the next start.
        "VLLM_CACHE_ROOT": str(paths.cache() / "vllm-cache"),
        "HF_HUB_OFFLINE": "1",
        # Ranks of one machine see one NUMA node, to which only one of them could be bound.
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "OMP_NUM_THREADS": "1",
        # Threads that wait by spinning take the cores from those they wait for: on two busy
        # cores an answer took 20 s that takes 3 s with this.
        "OMP_WAIT_POLICY": "PASSIVE",
    }


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_ready(process: subprocess.Popen[bytes], port: int, log: Path, limit: float) -> float:
    started = time.monotonic()
    while (elapsed := time.monotonic() - started) < limit:
        if process.poll() is not None:
            raise ServerError(f"vLLM ended with {process.returncode}:\n{_tail(log)}")
        if _healthy(port):
            return elapsed
        time.sleep(POLL_SECONDS)
    raise ServerError(f"vLLM was not ready after {limit:.0f} s:\n{_tail(log)}")


def _healthy(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _tail(log: Path, lines: int = 60) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End the server, then whatever is left of the process group that it leads."""
    if process.poll() is None:
        process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    finally:
        _kill_group(process.pid)


def _kill_group(leader: int) -> None:
    try:
        os.killpg(leader, signal.SIGKILL)
    except ProcessLookupError:
        return

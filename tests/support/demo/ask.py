"""Asks a deployment through a port-forward with the `openai` client, as a user would."""

from __future__ import annotations

import base64
import contextlib
import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from openai import OpenAI

from tests.support.cluster import tools
from tests.support.cluster.ports import held
from tests.support.stack import answers, wait_for


@contextlib.contextmanager
def forwarded(
    kubeconfig: Path,
    target: str,
    port: int,
    namespace: str = "default",
    kubectl: Path | None = None,
) -> Iterator[int]:
    """A local port that leads to `port` of a Service or pod while the context is open."""
    with held(1) as (local,):
        pass
    argv = [
        str(kubectl or tools.path_of("kubectl")),
        "port-forward",
        "-n",
        namespace,
        target,
        f"{local}:{port}",
    ]
    with _kept_up(argv, {**os.environ, "KUBECONFIG": str(kubeconfig)}):
        wait_for(
            lambda: answers(f"http://127.0.0.1:{local}/health"), 30, f"port-forward to {target}"
        )
        yield local


@contextlib.contextmanager
def _kept_up(argv: list[str], env: dict[str, str]) -> Iterator[None]:
    """A program that is started again when it ends: kubectl does with any connection that breaks."""
    ending, running = threading.Event(), _started(argv, env)

    def watch() -> None:
        nonlocal running
        while not ending.wait(0.1):
            if running.poll() is not None:
                running = _started(argv, env)

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        yield
    finally:
        ending.set()
        watching.join()
        running.terminate()
        running.wait(10)


def _started(argv: list[str], env: dict[str, str]) -> subprocess.Popen[bytes]:
    quiet = subprocess.DEVNULL
    return subprocess.Popen(argv, env=env, stdout=quiet, stderr=quiet)


def api_key(secret: dict[str, Any], entry: str = "default") -> str:
    """The key that a Secret holds."""
    return base64.b64decode(secret["data"][entry]).decode()


def ask(port: int, key: str, model: str, question: str, **options: Any) -> str:
    """The answer of the served model to one question, sampled greedily."""
    client = OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key=key, timeout=120, max_retries=0)
    response = client.chat.completions.create(
        model=model,
        messages=[{"role": "user", "content": question}],
        temperature=0,
        max_tokens=options.pop("max_tokens", 64),
        **options,
    )
    return response.choices[0].message.content or ""

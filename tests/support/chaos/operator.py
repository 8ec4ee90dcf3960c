"""The operator as a process of its own, to be killed and stopped as only a process can be.

It is forked from a server that has imported the program already, because the import takes a
second, and tests start the operator some hundred times. What runs is `llama_operator.process`.
"""

from __future__ import annotations

import asyncio
import ctypes
import functools
import multiprocessing
import os
import signal
import sys
from dataclasses import dataclass
from multiprocessing.context import ForkServerProcess
from pathlib import Path

from llama_operator.config import Config
from llama_operator.main import LOST_LEASE_EXIT
from tests.support.chaos import comes

_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class Pace:
    """Constants of the runtime, shorter than they are, so that a test need not wait for them."""

    lease: tuple[float, float, float] = (15.0, 10.0, 2.0)
    idle: float = 240.0
    request: float = 30.0


REAL = Pace()


@functools.cache
def _forks() -> multiprocessing.context.ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["llama_operator.process", __name__])
    return context


class Operator:
    """Starts one operator, again when it has ended by itself, until `stop`."""

    def __init__(self, config: Config, log: Path, pace: Pace = REAL) -> None:
        self._arguments = (config, str(log), pace)
        self._process: ForkServerProcess | None = None
        self._keeper: asyncio.Task[None] | None = None
        self.log = log
        self.exits: list[int] = []

    async def __aenter__(self) -> Operator:
        self._start()
        self._keeper = asyncio.ensure_future(self._keep())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._keeper:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
        self._signal(signal.SIGKILL)
        await self._joined()

    async def kill(self) -> None:
        """SIGKILL; the next one starts at once."""
        if self._process is not None and self._process.is_alive():
            self._signal(signal.SIGKILL)
            await self._joined()
            self._start()

    def pause(self) -> None:
        """SIGSTOP."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        self._signal(signal.SIGCONT)

    @property
    def told(self) -> str:
        """Everything that it has logged."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def _start(self) -> None:
        self._process = _forks().Process(target=_run, args=self._arguments, daemon=True)
        self._process.start()

    def _signal(self, number: signal.Signals) -> None:
        process = self._process
        if process is not None and process.pid is not None and process.is_alive():
            os.kill(process.pid, number)

    async def _joined(self) -> None:
        if not await comes(lambda: self._process is None or not self._process.is_alive(), 10):
            raise AssertionError("an operator outlives SIGKILL")

    async def _keep(self) -> None:
        """As the kubelet does: an operator that lost its lease exits, and is started again."""
        while True:
            await asyncio.sleep(0.1)
            process = self._process
            if process is not None and process.exitcode is not None and process.exitcode >= 0:
                self.exits.append(process.exitcode)
                self._start()


def _run(config: Config, log: str, pace: Pace) -> None:
    # A test that dies leaves no operator behind.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(output, 1)
    os.dup2(output, 2)
    sys.stderr = os.fdopen(2, "w", buffering=1)
    _paced(pace)
    from llama_operator.process import serve
    from llama_operator.runtime.manager import LeadershipLost

    try:
        asyncio.run(serve(config))
    except LeadershipLost:
        os._exit(LOST_LEASE_EXIT)


def _paced(pace: Pace) -> None:
    from llama_operator.runtime import reflector
    from llama_operator.runtime.api import Api
    from llama_operator.runtime.leader import LeaderElector
    from llama_operator.runtime.transport import Transport

    names = ("lease_duration", "renew_deadline", "retry_period")
    _defaults(LeaderElector.__init__, **dict(zip(names, pace.lease, strict=True)))
    _defaults(Api.watch, idle_seconds=pace.idle)
    reflector.INITIAL_SILENCE = min(pace.idle, reflector.INITIAL_SILENCE)
    _defaults(Transport.__init__, seconds=pace.request)


def _defaults(function: object, **values: float) -> None:
    known = function.__kwdefaults__  # type: ignore[attr-defined]
    if not set(values) <= set(known):
        raise AssertionError(f"{function} has other options now: {sorted(known)}")
    known.update(values)

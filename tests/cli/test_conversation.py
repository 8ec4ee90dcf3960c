"""A conversation at a terminal: memory, system prompt, streaming, and Ctrl-C in an answer."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.cli.engine_stub import Engine


class Terminal:
    """llamactl at a pseudo terminal; what it writes is kept as it comes."""

    def __init__(self, *args: str) -> None:
        self._master, slave = pty.openpty()
        # A shell's background job, such as this test run may be, would ignore the signal.
        command = ["env", "--default-signal=INT", "TERM=dumb", sys.executable, "-m", "llamactl"]
        self.process = subprocess.Popen(
            [*command, *args], stdin=slave, stdout=slave, stderr=slave, start_new_session=True
        )
        os.close(slave)
        self.text = ""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        while True:
            try:
                piece = os.read(self._master, 4096)
            except OSError:  # a terminal without a process is an error to read
                return
            if not piece:
                return
            self.text += piece.decode(errors="replace")

    def sees(self, found: Callable[[str], bool], seconds: float = 15) -> None:
        deadline = time.monotonic() + seconds
        while not found(self.text):
            assert time.monotonic() < deadline, self.text
            time.sleep(0.01)

    def prompts(self, count: int) -> None:
        """Wait until it has asked so often."""
        self.sees(lambda text: text.count("> ") >= count)

    def type(self, line: str) -> None:
        os.write(self._master, f"{line}\n".encode())

    def interrupt(self) -> None:
        self.process.send_signal(signal.SIGINT)

    def end(self) -> int:
        code = self.process.wait(15)
        self._reader.join(5)
        os.close(self._master)
        return code


@pytest.fixture
def terminal(engine: Engine) -> Iterator[Terminal]:
    made = Terminal("chat", "my-llama", "--system", "Be brief.")
    yield made
    if made.process.poll() is None:
        made.process.kill()


def roles(body: dict[str, Any]) -> list[tuple[str, str]]:
    return [(each["role"], each["content"]) for each in body["messages"]]


SYSTEM = ("system", "Be brief.")
ANSWER = ("assistant", "Paris é.")


def test_a_conversation_remembers_until_it_is_told_to_forget(
    terminal: Terminal, engine: Engine
) -> None:
    for count, line in enumerate(
        ["France?", "And Peru?", "/clear", "/system In verse.", "Again?", "/exit"], 1
    ):
        terminal.prompts(count)
        terminal.type(line)
    assert terminal.end() == 0
    first, second, third = map(roles, engine.bodies)
    assert first == [SYSTEM, ("user", "France?")]
    assert second == [*first, ANSWER, ("user", "And Peru?")]
    assert third == [("system", "In verse."), ("user", "Again?")]
    assert all(body["stream"] is True for body in engine.bodies)
    assert terminal.text.count("Paris é.") == 3


def test_ctrl_c_ends_an_answer_and_not_the_conversation(terminal: Terminal, engine: Engine) -> None:
    terminal.prompts(1)
    engine.words, engine.delay = ("word ",) * 500, 0.02
    terminal.type("Go on.")
    terminal.sees(lambda text: "word word" in text)
    terminal.interrupt()
    terminal.sees(lambda text: "(stopped; question and answer are forgotten)" in text)
    engine.words, engine.delay = ("Fine.",), 0.0
    terminal.prompts(2)
    terminal.type("And now?")
    terminal.sees(lambda text: "Fine." in text)
    assert roles(engine.bodies[-1]) == [SYSTEM, ("user", "And now?")]
    terminal.prompts(3)
    engine.break_off = True
    terminal.type("Are you there?")
    terminal.sees(lambda text: "broke off" in text)
    terminal.prompts(4)
    terminal.interrupt()
    assert terminal.end() == 130, "at the prompt it ends the conversation"
    assert "Traceback" not in terminal.text

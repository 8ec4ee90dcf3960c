"""A conversation with a model: its memory, and the loop at the terminal.

Ctrl-C in the middle of an answer ends that answer only, and the question with its half answer
leaves the memory: the model would otherwise go on from a sentence it never finished.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from llamactl import engine, output
from llamactl.errors import CliError, show

ROUTE = "/v1/chat/completions"
HELP = "/clear forgets the conversation, /system TEXT sets the system prompt, /exit ends."


@dataclass
class Conversation:
    """What was said so far, and to whom."""

    target: engine.Target
    system: str
    settings: dict[str, Any]
    stream: bool = True
    history: list[dict[str, str]] = field(default_factory=list)

    def answer(self, question: str) -> None:
        """Ask, show the answer on stdout, and remember both."""
        self.history.append({"role": "user", "content": question})
        try:
            text = self._stream() if self.stream else self._whole()
        except BaseException:
            self.history.pop()
            raise
        self.history.append({"role": "assistant", "content": text})

    def _messages(self) -> list[dict[str, str]]:
        first = [{"role": "system", "content": self.system}] if self.system else []
        return first + self.history

    def _whole(self) -> str:
        answer = engine.ask(self.target, ROUTE, {"messages": self._messages(), **self.settings})
        text = "".join(str(c["message"].get("content") or "") for c in answer["choices"])
        output.data(text)
        return text

    def _stream(self) -> str:
        body = {"messages": self._messages(), **self.settings}
        said: list[str] = []
        for piece in engine.stream(self.target, ROUTE, body):
            for choice in piece.get("choices") or []:
                said.append(str(choice.get("delta", {}).get("content") or ""))
                output.part(said[-1])
        output.data("")
        return "".join(said)


def loop(talk: Conversation) -> None:
    """Questions from the terminal until /exit or the end of input."""
    _line_editing()
    while True:
        try:
            line = input("> ").strip()
        except EOFError:
            output.talk()
            return
        if line == "/exit":
            return
        if line:
            _turn(talk, line)


def _turn(talk: Conversation, line: str) -> None:
    if line.startswith("/"):
        _command(talk, line)
        return
    try:
        talk.answer(line)
    except KeyboardInterrupt:
        output.talk("\n(stopped; question and answer are forgotten)")
    except CliError as error:
        # The conversation goes on: a server that restarts is back in a moment.
        show(error)


def _command(talk: Conversation, line: str) -> None:
    word, _, rest = line.partition(" ")
    if word == "/clear":
        talk.history.clear()
        output.talk("Forgotten.")
    elif word == "/system":
        talk.system = rest.strip()
        output.talk("System prompt set." if talk.system else "System prompt removed.")
    else:
        output.talk(HELP)


def _line_editing() -> None:
    try:
        import readline  # noqa: F401 - importing it gives input() history and arrow keys
    except ImportError:
        return

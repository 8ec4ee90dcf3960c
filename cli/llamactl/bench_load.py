"""The load of a bench: requests at a fixed concurrency, each over a tunnel of its own.

The tunnel through the API server is opened before the clock of a request starts, so that the time
to the first token is the server's and one way through the tunnel, not a handshake.
"""

from __future__ import annotations

import queue
import random
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from llamactl import engine
from llamactl.bench_stats import Sample
from llamactl.errors import CliError

ROUTE = "/v1/completions"
# Each is one token of Llama's tokenizers with the space before it.
_TEXT = """the of and to in is that it was for on are with as they be at one have this from or had
by hot but some what there we can out other were all your when up use word how said an each she"""
WORDS = _TEXT.split()


@dataclass(frozen=True)
class Load:
    """How many requests, how many at once, and how long each."""

    requests: int
    concurrency: int
    prompt_tokens: int
    max_tokens: int
    seed: int


def run(targets: Sequence[engine.Target], load: Load) -> Iterator[Sample]:
    """Each sample as it ends, in the order in which they end.

    The workers are daemons: after Ctrl-C nobody waits for an answer that takes minutes.
    """
    todo: queue.SimpleQueue[int] = queue.SimpleQueue()
    done: queue.SimpleQueue[Sample | BaseException] = queue.SimpleQueue()
    for number in range(load.requests):
        todo.put(number)
    for _ in range(min(load.concurrency, load.requests)):
        threading.Thread(target=_work, args=(targets, load, todo, done), daemon=True).start()
    for _ in range(load.requests):
        found = done.get()
        if isinstance(found, BaseException):
            raise found
        yield found


def _work(
    targets: Sequence[engine.Target],
    load: Load,
    todo: queue.SimpleQueue[int],
    done: queue.SimpleQueue[Sample | BaseException],
) -> None:
    while True:
        try:
            number = todo.get_nowait()
        except queue.Empty:
            return
        try:
            done.put(one(targets[number % len(targets)], load, number))
        except BaseException as error:
            done.put(error)
            return


def one(target: engine.Target, load: Load, number: int) -> Sample:
    """One request, measured. A refusal or a broken answer is a sample with an error."""
    opening = start = time.monotonic()
    try:
        connection = engine.connect(target)
        start = time.monotonic()
        return _measured(
            engine.stream(target, ROUTE, body(load, number), connection), opening, start
        )
    except (CliError, OSError) as error:
        return Sample(start, error=str(error))


def _measured(pieces: Iterator[dict[str, Any]], opening: float, start: float) -> Sample:
    first = last = 0.0
    counted = 0
    usage: dict[str, Any] = {}
    for piece in pieces:
        if any(choice.get("text") for choice in piece.get("choices") or []):
            last = time.monotonic()
            first = first or last
            counted += 1
        usage = piece.get("usage") or usage
    if not counted:
        return Sample(start, error="the answer had no text")
    return Sample(
        start=start,
        first=first,
        last=last,
        tokens=int(usage.get("completion_tokens") or counted),
        prompt_tokens=int(usage.get("prompt_tokens") or 0),
        tunnel=start - opening,
    )


def body(load: Load, number: int) -> dict[str, Any]:
    """The request: a prompt of its own, so that no cache of prefixes answers for the model."""
    draw = random.Random(f"{load.seed}/{number}")  # noqa: S311 - the same load each time
    return {
        "prompt": " ".join(draw.choice(WORDS) for _ in range(load.prompt_tokens)),
        "max_tokens": load.max_tokens,
        "temperature": 0,
        # Answers of one length; vLLM's own field.
        "ignore_eos": True,
        "stream_options": {"include_usage": True},
    }

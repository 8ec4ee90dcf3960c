"""What the API key guard costs: real vLLM with and without it, and the guard alone.

Run by `make bench-guard`; exits 1 where a figure of the project's goals is missed. Both servers run
at once and are asked by turns, since a shared machine is not the same from minute to minute.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median, quantiles

import click

from llama_operator import guard
from tests.support.guarding import FILE, Engine, load, scope, write_secret
from tests.support.models import tiny
from tests.support.vllm_cpu import Server, serve

KEY = "sk-bench"
CLIENTS, TOKENS, LOOKS = 8, 48, 150
TOKENS_RATIO, ADDED_MS = 0.98, 1.0
HEADERS = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
STREAM = {"model": "tiny", "prompt": "a", "max_tokens": TOKENS, "stream": True, "ignore_eos": True}
ONE = {"model": "tiny", "prompt": "a", "max_tokens": 1}


@contextmanager
def servers() -> Iterator[tuple[Server, Server]]:
    """vLLM as it is, and behind the guard; neither asks for vLLM's own key."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        write_secret(Path(folder), {"default": KEY}, "1")
        env = {"VLLM_API_KEY": "", "PYTHONDONTWRITEBYTECODE": "1"}
        behind = {**env, "PYTHONPATH": str(FILE.parent), guard.KEYS_VARIABLE: folder}
        middleware = [f"--middleware={guard.MIDDLEWARE}"]
        bare = stack.enter_context(serve(tiny(), name="tiny", env=env))
        yield bare, stack.enter_context(serve(tiny(), name="tiny", args=middleware, env=behind))


def tokens_per_second(server: Server) -> float:
    """Of several streams at once."""
    started = time.perf_counter()
    with ThreadPoolExecutor(CLIENTS) as pool:
        chunks = sum(pool.map(lambda _: _stream(server.port), range(CLIENTS)))
    if chunks < CLIENTS * TOKENS / 2:
        raise click.ClickException(f"{chunks} chunks came of {CLIENTS} streams of {TOKENS} tokens")
    return CLIENTS * TOKENS / (time.perf_counter() - started)


def _stream(port: int) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    connection.request("POST", "/v1/completions", json.dumps(STREAM), HEADERS)
    text = connection.getresponse().read()
    connection.close()
    return text.count(b"data: {")


def latency(server: Server, method: str, path: str, body: object, count: int) -> float:
    """Milliseconds until an answer is whole, the median of `count` on one connection."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=120)
    text = json.dumps(body) if body else None
    took = []
    for _ in range(count):
        started = time.perf_counter()
        connection.request(method, path, text, HEADERS)
        answer = connection.getresponse()
        answer.read()
        took.append((time.perf_counter() - started) * 1000)
        if answer.status != 200:
            raise click.ClickException(f"{method} {path} answered {answer.status}")
    connection.close()
    return median(took)


def by_turns(
    pair: tuple[Server, Server], rounds: int, measure: Callable[[Server], float]
) -> list[tuple[float, float]]:
    """(without, with) of each round; who is first changes."""
    for server in pair:
        measure(server)  # the first one is slower
    found = []
    for number in range(rounds):
        if number % 2:
            behind = measure(pair[1])
            found.append((measure(pair[0]), behind))
        else:
            bare = measure(pair[0])
            found.append((bare, measure(pair[1])))
    return found


def alone(folder: Path, chunks: int, count: int = 20_000) -> float:
    """Microseconds that the guard adds to a request whose answer has so many chunks."""
    write_secret(folder, {"default": KEY}, f"alone-{chunks}")
    engine = Engine(chunks=tuple(b'data: {"choices":[{"text":"a"}]}\n\n' for _ in range(chunks)))
    app = load().Guard(engine, load().Keys(folder))
    # As many headers as a client sends.
    more = [(f"x-header-{number}", "value") for number in range(8)]
    request = scope("POST", "/v1/completions", [*more, ("authorization", HEADERS["Authorization"])])

    async def receive() -> dict[str, object]:
        return {}

    async def send(_: dict[str, object]) -> None:
        return

    async def seconds(asked: Callable[..., object]) -> float:
        started = time.perf_counter()
        for _ in range(count):
            engine.seen.clear()
            await asked(request, receive, send)  # type: ignore[misc]
        return time.perf_counter() - started

    both = [(asyncio.run(seconds(engine)), asyncio.run(seconds(app))) for _ in range(5)]
    return median(behind - bare for bare, behind in both) / count * 1e6


def told(name: str, pairs: list[tuple[float, float]], unit: str) -> None:
    """One line: the medians of both."""
    bare, behind = median(each[0] for each in pairs), median(each[1] for each in pairs)
    print(f"{name:<34}{bare:>10.2f}{behind:>10.2f}  {unit}")


@click.command()
@click.option("--rounds", default=20, show_default=True, help="How often each server is asked.")
def main(rounds: int) -> None:
    """Print what the guard costs; exit 1 where it is too much."""
    with tempfile.TemporaryDirectory() as folder:
        request, chunk = alone(Path(folder), 1), alone(Path(folder), 101, 2_000)
    print(f"guard alone: {request:.1f} us a request, {(chunk - request) / 100:.2f} us a chunk")
    with servers() as pair:
        print(f"\n{'real vLLM, by turns':<34}{'without':>10}{'with':>10}")
        speeds = by_turns(pair, rounds, tokens_per_second)
        told(f"{CLIENTS} streams of {TOKENS} tokens", speeds, "tokens/s")
        looks = by_turns(pair, rounds, lambda s: latency(s, "GET", "/v1/models", None, LOOKS))
        told("GET /v1/models", looks, "ms")
        ones = by_turns(pair, rounds, lambda s: latency(s, "POST", "/v1/completions", ONE, 10))
        told("POST /v1/completions, 1 token", ones, "ms")
    ratios = [behind / bare for bare, behind in speeds]
    low, _, high = quantiles(ratios, n=4)
    added = median(behind - bare for bare, behind in looks)
    print(f"\ntokens/s with / without: {median(ratios):.3f} (quartiles {low:.3f} to {high:.3f})")
    print(f"added to a request: {added:.3f} ms; of one token: "
          f"{median(behind - bare for bare, behind in ones):.3f} ms")  # fmt: skip
    if median(ratios) < TOKENS_RATIO or added > ADDED_MS:
        print(f"too much: at least {TOKENS_RATIO} and at most {ADDED_MS} ms are the goal")
        sys.exit(1)


if __name__ == "__main__":
    main()

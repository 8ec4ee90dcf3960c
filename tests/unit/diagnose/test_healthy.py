"""No verdict on logs of servers that are well, whatever version and settings, and wherever cut."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest
from tests.unit.diagnose.samples import DATA

from llama_operator.diagnose.judge import UNKNOWN, diagnose


def _blocks(name: str) -> list[list[str]]:
    text = (DATA / name).read_text()
    blocks = [block.strip("\n").splitlines() for block in text.split("\n\n")]
    return [lines for lines in blocks if lines and not lines[0].startswith("# ")]


# Written by real vLLM 0.32 on a CPU: see tests/support/vllm_cpu/breakages.py for the way.
REAL = {path.stem: path.read_text().splitlines() for path in DATA.glob("healthy/*.log")}
SERVERS = _blocks("healthy-servers.txt")
WARNINGS = _blocks("healthy-warnings.txt")


def _older(line: str) -> str:
    """As versions before 0.10 wrote it: no process, no brackets around the place."""
    return re.sub(r"^\(\w+ pid=\d+\) (\w+ [\d-]+ [\d:]+) \[(\S+:\d+)\]", r"\1 \2]", line)


def _in_a_cluster(line: str) -> str:
    return f"[pod/web-0/engine] 2026-11-25T09:00:00.123456789Z {line}"


def _coloured(line: str) -> str:
    return re.sub(r"\b(INFO|WARNING|ERROR)\b", "\x1b[32m\\1\x1b[0m", line, count=1)


STYLES: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "older": _older,
    "cluster": _in_a_cluster,
    "coloured": _coloured,
}


def variants() -> Iterator[tuple[str, list[str]]]:
    for name, lines in REAL.items():
        for style, change in STYLES.items():
            yield f"{name}, {style}", [change(line) for line in lines]
    for number, server in enumerate(SERVERS):
        yield f"server {number}", server
    for number, warning in enumerate(WARNINGS):
        yield f"warning {number}", _with(SERVERS[number % len(SERVERS)], warning)


def _with(server: list[str], warning: list[str]) -> list[str]:
    first = warning[0].removeprefix("later: ")
    at = len(server) if first != warning[0] else max(1, len(server) // 2)
    return [*server[:at], first, *warning[1:], *server[at:]]


VARIANTS = dict(variants())


def test_there_are_enough_of_them() -> None:
    assert len({tuple(lines) for lines in (*REAL.values(), *SERVERS)}) >= 50, "not counting styles"
    assert len({tuple(lines) for lines in VARIANTS.values()}) >= 150


@pytest.mark.parametrize("name", VARIANTS)
def test_a_healthy_log_has_no_cause(name: str) -> None:
    verdict = diagnose(VARIANTS[name])
    assert (verdict.cause, verdict.evidence, dict(verdict.fix)) == (UNKNOWN, "", {})


WHOLE = {**REAL, **{f"server {number}": lines for number, lines in enumerate(SERVERS)}}


@pytest.mark.parametrize("name", WHOLE)
def test_nor_has_any_beginning_or_end_of_it(name: str) -> None:
    """A server that still starts, and the tail of one that has served for long."""
    lines = WHOLE[name]
    for at in range(1, len(lines)):
        for part in (lines[:at], lines[at:]):
            assert diagnose(part).evidence == "", part[-1]


@pytest.mark.parametrize("warning", WARNINGS, ids=lambda lines: lines[0][:60])
def test_nor_has_a_warning_while_the_server_starts(warning: list[str]) -> None:
    if not warning[0].startswith("later: "):
        assert diagnose(warning).cause == UNKNOWN

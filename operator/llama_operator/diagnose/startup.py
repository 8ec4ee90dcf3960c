"""How far a server has come in its start, and what it tells of itself, by what vLLM has written.

The words are those of vLLM 0.9 to 0.33; what another version words otherwise is left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from types import MappingProxyType

IMPORTING, LOADING, COMPILING, CAPTURING = (
    "Importing",
    "LoadingWeights",
    "Compiling",
    "CapturingGraphs",
)
PHASES = (IMPORTING, LOADING, COMPILING, CAPTURING)
_BEGINS = (
    (CAPTURING, re.compile(r"Capturing CUDA graph|Graph capturing finished")),
    (
        COMPILING,
        re.compile(
            r"Loading (?:model )?weights took|Model loading took|torch\.compile t(?:ook|akes)|Dynamo bytecode"
            r"|Compiling a graph|Cache the graph|Warming up|KV cache size: |init engine \("
        ),
    ),
    (LOADING, re.compile(r"Starting to load model|Loading \S+ checkpoint shards|Loading weights")),
)
_SECONDS = MappingProxyType(
    {
        "load": re.compile(r"Loading (?:model )?weights took ([\d.]+) s"),
        "compile": re.compile(
            r"torch\.compile(?: and initial profiling run)? t(?:ook|akes) ([\d.]+) s"
        ),
        "first_token": re.compile(r"llama_warm_up: the first token came after ([\d.]+) s"),
        "graphs": re.compile(r"Graph capturing finished in ([\d.]+) s"),
    }
)
_VERSION = re.compile(r"vLLM API server version v?(\d[\w.+-]*)|LLM engine \(v(\d[\w.+-]*)\)")
_KV_TOKENS = re.compile(r"KV cache size: ([\d,]+) tokens")
_CONTEXT = re.compile(r"\bmax_seq_len=(\d+)")
_FITTED = re.compile(r"Auto-fit max_model_len: reduced from \d+ to (\d+)")


@dataclass(frozen=True)
class Told:
    """What a server that has started told on the way; None for what it did not tell.

    Seconds are those of the slowest worker.
    """

    version: str = ""
    kv_tokens: int | None = None
    max_model_len: int | None = None
    load_seconds: float | None = None
    compile_seconds: float | None = None
    graphs_seconds: float | None = None
    first_token_seconds: float | None = None


def phase(lines: Sequence[str]) -> str:
    """The phase that the last telling line belongs to; "" where no line tells."""
    for line in reversed(lines):
        for name, begins in _BEGINS:
            if begins.search(line):
                return name
    return ""


def told(lines: Iterable[str]) -> Told:
    """The figures in the log of a start."""
    text = "\n".join(lines)
    version = _VERSION.search(text)
    return Told(
        version=next(filter(None, version.groups())) if version else "",
        kv_tokens=_whole(_KV_TOKENS, text),
        max_model_len=_whole(_FITTED, text) or _whole(_CONTEXT, text),
        **{f"{name}_seconds": _slowest(each, text) for name, each in _SECONDS.items()},
    )


def _whole(pattern: re.Pattern[str], text: str) -> int | None:
    found = pattern.search(text)
    return int(found[1].replace(",", "")) if found else None


def _slowest(pattern: re.Pattern[str], text: str) -> float | None:
    return max((float(each.rstrip(".")) for each in pattern.findall(text)), default=None)

"""The report of a bench for people: figures, and two small plots. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llamactl.bench_stats import PERCENTILES, Sample
from llamactl.table import Column, pairs, render

BINS = 8
TICKS = "▁▂▃▄▅▆▇█"
ROWS = {
    "ttftMs": "time to first token",
    "tpotMs": "time per token",
    "latencyMs": "whole answer",
}
COLUMNS = (
    Column("MILLISECONDS"),
    Column("MEAN", right=True),
    *(Column(f"P{share}", right=True) for share in PERCENTILES),
    Column("MAX", right=True),
)


def text(report: dict[str, Any], samples: Sequence[Sample], width: int) -> str:
    """All sections that have something to say, with an empty line between."""
    good = [each for each in samples if not each.error]
    sections = [pairs(_head(report), width)]
    if good:
        sections += [
            render(COLUMNS, _rows(report), width),
            histogram([1000 * each.first_token for each in good], width),
            over_time(good, width),
        ]
    return "\n\n".join(sections)


def _head(report: dict[str, Any]) -> list[tuple[str, str]]:
    return [
        ("Requests", f"{report['completed']} done, {report['failed']} failed, "
         f"{report['concurrency']} at once, on {report['replicas']} replicas"),
        ("Tokens", f"{report['promptTokens']:,} in, {report['outputTokens']:,} out"),
        ("Throughput", f"{report['outputTokensPerSecond']:,} tokens/s out, "
         f"{report['totalTokensPerSecond']:,} in and out, "
         f"{report['requestsPerSecond']:,} requests/s, over {report['seconds']} s"),
        *(("Error", error) for error in report["errors"][:3]),
    ]  # fmt: skip


def _rows(report: dict[str, Any]) -> list[list[str]]:
    return [
        [name, *(f"{value:,.1f}" for value in report[key].values())] for key, name in ROWS.items()
    ]


def histogram(values: Sequence[float], width: int) -> str:
    """How the times to the first token are spread, a bar for each of some equal spans."""
    least, most = min(values), max(values)
    step = (most - least) / BINS or 1.0
    counts = [0] * BINS
    for value in values:
        counts[min(BINS - 1, int((value - least) / step))] += 1
    labels = [f"{least + step * (at + 1):,.1f}" for at in range(BINS)]
    left = max(map(len, labels))
    room = max(10, min(50, width - left - 16))
    lines = ["Time to first token, milliseconds up to"]
    for label, count in zip(labels, counts, strict=True):
        bar = "█" * round(room * count / max(counts))
        lines.append(f"  {label:>{left}} {bar or ('▏' if count else '')} {count}".rstrip())
    return "\n".join(lines)


def over_time(samples: Sequence[Sample], width: int) -> str:
    """Tokens per second while it ran, as one line: a server that slows down shows here."""
    begin, end = min(each.start for each in samples), max(each.last for each in samples)
    cells = max(10, min(60, width - 30))
    step = (end - begin) / cells or 1.0
    rates = [0.0] * cells
    for each in samples:
        for at in range(each.tokens):
            moment = each.first + each.per_token * at
            rates[min(cells - 1, int((moment - begin) / step))] += 1 / step
    top = max(rates) or 1.0
    line = "".join(TICKS[min(len(TICKS) - 1, int(len(TICKS) * rate / top))] for rate in rates)
    return f"Tokens/s over time, at most {top:,.0f}\n  {line}"

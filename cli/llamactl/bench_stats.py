"""What a bench measured, summed up. Pure.

Times are seconds here and milliseconds in the report. A request that failed has an error and
counts for nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

PERCENTILES = (50, 90, 99)


@dataclass(frozen=True)
class Sample:
    """One request: moments of its start, first and last token, and how many tokens it had."""

    start: float
    first: float = 0.0
    last: float = 0.0
    tokens: int = 0
    prompt_tokens: int = 0
    tunnel: float = 0.0
    error: str = ""

    @property
    def first_token(self) -> float:
        """Seconds from the request to its first token."""
        return self.first - self.start

    @property
    def per_token(self) -> float:
        """Seconds for each token after the first."""
        return (self.last - self.first) / max(1, self.tokens - 1)

    @property
    def whole(self) -> float:
        """Seconds from the request to its last token."""
        return self.last - self.start


FIGURES: dict[str, Callable[[Sample], float]] = {
    "ttftMs": lambda sample: sample.first_token,
    "tpotMs": lambda sample: sample.per_token,
    "latencyMs": lambda sample: sample.whole,
    "tunnelMs": lambda sample: sample.tunnel,
}


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which `share` percent lie, between neighbours by proportion."""
    ordered = sorted(values)
    place = (len(ordered) - 1) * share / 100
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def spread(values: Sequence[float]) -> dict[str, float]:
    """Mean, percentiles and the largest, in milliseconds; empty for no values."""
    if not values:
        return {}
    found = {"mean": sum(values) / len(values)}
    found |= {f"p{share}": percentile(values, share) for share in PERCENTILES}
    return {name: round(1000 * value, 2) for name, value in {**found, "max": max(values)}.items()}


def summary(samples: Sequence[Sample]) -> dict[str, Any]:
    """The report of all requests, but for what was asked for."""
    good = [each for each in samples if not each.error]
    seconds = max(each.last for each in good) - min(each.start for each in good) if good else 0.0
    tokens, prompt = sum(each.tokens for each in good), sum(each.prompt_tokens for each in good)
    return {
        "completed": len(good),
        "failed": len(samples) - len(good),
        "seconds": round(seconds, 3),
        "promptTokens": prompt,
        "outputTokens": tokens,
        "requestsPerSecond": _rate(len(good), seconds),
        "outputTokensPerSecond": _rate(tokens, seconds),
        "totalTokensPerSecond": _rate(tokens + prompt, seconds),
        **{name: spread([read(each) for each in good]) for name, read in FIGURES.items()},
        "errors": sorted({each.error for each in samples if each.error}),
    }


def _rate(count: int, seconds: float) -> float:
    return round(count / seconds, 2) if seconds > 0 else 0.0

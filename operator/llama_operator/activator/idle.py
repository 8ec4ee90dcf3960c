"""Since when nobody has wanted anything: from what the servers count themselves.

Most requests go to a server directly and are never seen here. Whatever cannot be read counts as
work, so that a server is never taken away for a number that is missing.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

_SERIES = re.compile(
    r"^(?:vllm:(num_requests_running|num_requests_waiting|request_success_total)"
    r"|llama_canary_(running|requests_total))(?:\{[^}]*\})? (\S+)",
    re.MULTILINE,
)


@dataclass(frozen=True)
class Sample:
    """What one server says: requests that it has now, and those it has ever ended."""

    now: float
    ended: float


def read(exposition: str) -> Sample | None:
    """The sample of a page of metrics; None where it is not one of vLLM."""
    found: dict[str, float] = defaultdict(float)
    for ours, canarys, value in _SERIES.findall(exposition):
        found[ours or canarys] += float(value)
    if not {"num_requests_running", "num_requests_waiting"} <= set(found):
        return None
    # The canary of a server over several nodes sings when nobody else asks.
    now = found["num_requests_running"] + found["num_requests_waiting"] - found["running"]
    return Sample(max(0.0, now), found["request_success_total"] - found["requests_total"])


class Idle:
    """For how long every server has had nothing to do."""

    def __init__(self) -> None:
        self._since: float | None = None
        self._last: Mapping[str, Sample] = {}

    def look(self, samples: Mapping[str, Sample | None], busy: bool, at: float) -> float:
        """Seconds without work up to `at`; 0 while there is some, or no server."""
        known = {pod: each for pod, each in samples.items() if each is not None}
        works = busy or len(known) < len(samples) or any(each.now for each in known.values())
        # Other pods, or more requests ended than at the last look: somebody was there in between.
        moved = known != self._last
        self._last = known
        if not samples or works or moved or self._since is None:
            self._since = at if samples else None
            return 0.0
        return at - self._since

"""Which run of a container a log is of.

A log is asked for by "the present run" or "the one before", and the kubelet may start the next
run between the status that was read and the request: what comes is then the beginning of a run
that is well. So lines are asked for with their times, and the times tell the runs apart.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from enum import IntEnum
from typing import Any

# Kubernetes gives the times of a run in whole seconds, rounded down.
_UNIT = timedelta(seconds=1)
_STAMP = re.compile(
    r"^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d))(?: |$)", re.MULTILINE
)


class _Fit(IntEnum):
    NO = 0
    PERHAPS = 1
    YES = 2


def surely(text: str, how: Mapping[str, Any]) -> bool:
    """Whether a log with times (`timestamps=true`) is of the run that ended as `how` says.

    `how` is a terminated state of a container's status.
    """
    return _fit(text, how) is _Fit.YES


def of_run(texts: Iterable[str], how: Mapping[str, Any]) -> str:
    """Of logs with times the one of the run that ended as `how` says, without times; "" if none."""
    fit, text = max(
        ((_fit(text, how), text) for text in texts), key=lambda each: each[0], default=(_Fit.NO, "")
    )
    return "" if fit is _Fit.NO else _STAMP.sub("", text)


def _fit(text: str, how: Mapping[str, Any]) -> _Fit:
    """By the first line: the last ones may be written down some time after the run has ended."""
    stamp = _STAMP.search(text)
    started, finished = how.get("startedAt"), how.get("finishedAt")
    if not text.strip():
        return _Fit.NO
    if stamp is None or not started or not finished:
        return _Fit.PERHAPS
    first, end = datetime.fromisoformat(stamp[1]), datetime.fromisoformat(finished)
    if not datetime.fromisoformat(started) <= first < end + _UNIT:
        return _Fit.NO
    # Within its last second the next run may have begun as well.
    return _Fit.YES if first < end else _Fit.PERHAPS

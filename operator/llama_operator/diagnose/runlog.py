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

# What a kubelet says, with status 200, of a container that is gone.
_REMOVED = "unable to retrieve container logs for "


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
    if not text.strip() or text.startswith(_REMOVED):
        return _Fit.NO
    stamp = _STAMP.match(text)
    first = _time(stamp[1]) if stamp else None
    started, ended = _time(how.get("startedAt")), _time(how.get("finishedAt"))
    if first is None or started is None or ended is None:
        return _Fit.PERHAPS
    if not started <= first < ended + _UNIT:
        return _Fit.NO
    # Within its last second the next run may have begun as well.
    return _Fit.YES if first < ended else _Fit.PERHAPS


def _time(text: str | None) -> datetime | None:
    """None for what is no time: a node that gives none with its lines may have any there."""
    try:
        return datetime.fromisoformat(text or "")
    except ValueError:
        return None

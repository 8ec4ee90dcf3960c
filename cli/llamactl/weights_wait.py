"""Waiting for a copy: until it is ready, or until it was read again."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime

from llamactl import view, weights_view
from llamactl.errors import CliError, TimedOutError
from llamactl.kube import Kube, Object
from llamactl.progress import display
from llamactl.stages import Failure, lasting_failure
from llamactl.units import duration, parse_time
from llamactl.waiting import EVERY_SECONDS, goes_on, look, patience


def until_ready(kube: Kube, name: str, seconds: float) -> Object:
    """The copy once it is complete and verified. Raises TimedOutError, CliError."""

    def over(obj: Object, waited: float) -> bool:
        if view.is_true(obj, "Ready"):
            return True
        _raise_on(lasting_failure(obj), name, waited)
        return False

    return _until(kube, name, seconds, over, "is not ready")


def until_verified(kube: Kube, name: str, asked: datetime, seconds: float) -> Object:
    """The copy once a round that began after `asked` is over; the caller judges its condition."""

    def over(obj: Object, _: float) -> bool:
        last = parse_time(str(view.path(obj, "status", "lastVerifiedAt") or ""))
        return last is not None and last >= asked

    return _until(kube, name, seconds, over, "was not read again")


def _until(
    kube: Kube, name: str, seconds: float, over: Callable[[Object, float], bool], verb: str
) -> Object:
    start = time.monotonic()
    follow = kube.settings.llamactl("weights", "ls", "--watch")
    with goes_on(name, follow), display() as shown:
        while True:
            waited = time.monotonic() - start
            obj = look(lambda: kube.weights(name), shown)
            if obj is not None:
                shown.show(weights_view.stages(obj))
                if over(obj, waited):
                    return obj
            if waited >= seconds:
                raise _timed_out(kube, name, seconds, verb)
            time.sleep(min(EVERY_SECONDS, max(0.0, seconds - waited)))


def _raise_on(found: Failure | None, name: str, waited: float) -> None:
    if found is None or waited < patience(found.reason):
        return
    raise CliError(f"{name} will not become ready: {found.reason}: {found.message}")


def _timed_out(kube: Kube, name: str, seconds: float, verb: str) -> TimedOutError:
    return TimedOutError(
        f"{name} {verb} after {duration(seconds)}",
        fix="It goes on in the cluster; wait longer with --timeout, or look at it",
        next=kube.settings.llamactl("weights", "ls", "-o", "wide"),
    )

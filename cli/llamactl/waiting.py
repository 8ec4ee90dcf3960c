"""Waiting for a deployment: look, show, decide, sleep.

It looks again and again instead of remembering: an API server that is away for a moment, or an
object that somebody changes meanwhile, must neither end the wait nor confuse it. Only the end
of the time, a condition that will not pass by itself, or the object's deletion end it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol, TypeVar

from llama_operator.api import labels
from llamactl import output, view
from llamactl.api_errors import ApiError, UnreachableError
from llamactl.errors import CliError, TimedOutError
from llamactl.kube import Kube, Object
from llamactl.resources import DEPLOYMENTS, PODS, WEIGHTS
from llamactl.stages import Failure, Snapshot, Stage, failure, is_ready, looked_at, stages
from llamactl.units import duration

T = TypeVar("T")

EVERY_SECONDS = 1.0
NO_OPERATOR_SECONDS = 20.0
# An object that is named before it is made looks like a failure for a moment.
PATIENCE_SECONDS = 10.0
PASSING_AT_FIRST = {"NotFound", "SecretMissing", "StorageClassMissing"}
# A node may be on its way, a volume may still be let go of elsewhere, a quota be set free.
MENDED_SECONDS = 300.0
MENDED_BY_KUBERNETES = {
    "Unschedulable", "QuotaExceeded", "FailedMount", "FailedAttachVolume", "FailedMapVolume",
    "FailedCreatePodSandBox", "FailedPrepareDynamicResources", "ProvisioningFailed",
    "NetworkNotReady", "Evicted", "Preempted",
}  # fmt: skip


class Display(Protocol):
    """Where progress is shown."""

    def show(self, steps: Sequence[Stage]) -> None:
        """The stages as they are now."""

    def note(self, text: str) -> None:
        """A remark beside it."""


def snapshot(kube: Kube, name: str) -> Snapshot:
    """The deployment, its weights and its server pods as they are now."""
    deployment = kube.deployment(name)
    weights = str(view.path(deployment, "status", "weights", "name") or "")
    return Snapshot(
        deployment,
        _readable(lambda: kube.find(WEIGHTS, weights)) if weights else None,
        _readable(lambda: kube.list(PODS, selector=view.servers_selector(name))) or (),
    )


def _readable(read: Callable[[], T]) -> T | None:
    # Who may read deployments need not be allowed to read the rest; then less is shown.
    try:
        return read()
    except ApiError as error:
        if error.status == 403:
            return None
        raise


@contextmanager
def goes_on(what: str, follow: str) -> Iterator[None]:
    """Ctrl-C ends the wait and nothing else; say so, and where to look."""
    try:
        yield
    except KeyboardInterrupt:
        output.talk(f"\nNo longer waiting; {what} goes on in the cluster.")
        output.hint(follow)
        raise


def until_ready(kube: Kube, name: str, uid: str, seconds: float, display: Display) -> Snapshot:
    """Wait until Ready. Raises TimedOutError, or CliError for what will not pass by itself."""
    start = time.monotonic()
    told = False
    while True:
        waited = time.monotonic() - start
        seen = _look(kube, name, display)
        if seen is not None:
            display.show(stages(seen))
            _same(kube, seen.deployment, name, uid)
            if is_ready(seen):
                return seen
            _raise_on(failure(seen), waited, name, kube)
            if not told and waited > NO_OPERATOR_SECONDS and not looked_at(seen):
                told = True
                display.note("no operator has looked at it yet; is llama-operator running?")
        if waited >= seconds:
            raise _timed_out(kube, name, seconds, seen)
        time.sleep(min(EVERY_SECONDS, max(0.0, seconds - waited)))


def _look(kube: Kube, name: str, display: Display) -> Snapshot | None:
    return look(lambda: snapshot(kube, name), display)


def look(read: Callable[[], T], display: Display) -> T | None:
    """What is read, or None and a remark while the API server is away or busy."""
    try:
        return read()
    except UnreachableError as error:
        display.note(error.message)
    except ApiError as error:
        if error.status < 500 and error.status != 429:
            raise
        display.note(error.message)
    return None


def _same(kube: Kube, deployment: object, name: str, uid: str) -> None:
    meta = view.path(deployment, "metadata") if isinstance(deployment, dict) else {}
    if meta.get("deletionTimestamp") or (uid and meta.get("uid") != uid):
        raise CliError(f"{name} was deleted meanwhile", next=kube.settings.llamactl("list"))


def patience(reason: str) -> float:
    """For how long a failure of this reason may still pass by itself."""
    if reason in MENDED_BY_KUBERNETES:
        return MENDED_SECONDS
    return PATIENCE_SECONDS if reason in PASSING_AT_FIRST else 0.0


def _raise_on(found: Failure | None, waited: float, name: str, kube: Kube) -> None:
    if found is None or waited < patience(found.reason):
        return
    raise CliError(
        f"{name} will not become ready: {found.reason}: {found.message}",
        next=kube.settings.llamactl("status", name),
    )


def _timed_out(kube: Kube, name: str, seconds: float, seen: Snapshot | None) -> TimedOutError:
    step = next((s for s in stages(seen) if s.state == "doing"), None) if seen else None
    where = f"; it is at {step.name}: {step.text}" if step else ""
    return TimedOutError(
        f"{name} is not ready after {duration(seconds)}{where}",
        fix="It goes on in the cluster; wait longer with --timeout, or look at it",
        next=kube.settings.llamactl("status", name),
    )


def until_gone(kube: Kube, name: str, uid: str, seconds: float) -> None:
    """Wait until a deployment and its server pods are gone. Raises TimedOutError."""
    start = time.monotonic()
    while time.monotonic() - start < seconds:
        if _gone(kube, name, uid):
            return
        time.sleep(EVERY_SECONDS)
    raise TimedOutError(
        f"{name} is not gone after {duration(seconds)}",
        fix="Its pods may be finishing requests",
        next=kube.settings.kubectl("get", "pods", "-l", f"{labels.DEPLOYMENT}={name}"),
    )


def _gone(kube: Kube, name: str, uid: str) -> bool:
    found: Object | None = kube.find(DEPLOYMENTS, name)
    if found is not None and view.path(found, "metadata", "uid") == uid:
        return False
    pods = _readable(lambda: kube.list(PODS, selector=view.servers_selector(name)))
    return found is not None or not pods

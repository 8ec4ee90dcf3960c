"""Where measurements leave the runtime: protocols with a do-nothing default.

The runtime imports no metrics library; whoever wires the process passes objects of this shape.
All calls are synchronous, on the event loop, and must not raise.
"""

from __future__ import annotations

from typing import Protocol


class ApiHooks(Protocol):
    """Told about every HTTP exchange."""

    def request(self, verb: str, resource: str, code: str, seconds: float) -> None:
        """An answer came (`code` is the status) or none did (`code` is "transport")."""

    def throttled(self, seconds: float) -> None:
        """A request waited for the client-side limiter."""


class QueueHooks(Protocol):
    """Told about the life of work items; `name` is the queue's."""

    def added(self, name: str, depth: int) -> None:
        """A key became ready to be worked on; `depth` includes it."""

    def got(self, name: str, depth: int, waited: float) -> None:
        """A worker took a key that had been ready for `waited` seconds."""

    def done(self, name: str, worked: float) -> None:
        """A worker finished a key after `worked` seconds."""

    def retried(self, name: str) -> None:
        """A key was put back with backoff."""


class ControllerHooks(Protocol):
    """Told about reconciles; `result` is one of RESULTS of the controller module."""

    def active(self, controller: str, workers: int) -> None:
        """Number of workers that are reconciling."""

    def reconciled(self, controller: str, result: str, seconds: float) -> None:
        """A reconcile ended."""


class InformerHooks(Protocol):
    """Told about the health of watches; `resource` is plural.group."""

    def listed(self, resource: str, objects: int) -> None:
        """A full state was received."""

    def event(self, resource: str, kind: str) -> None:
        """An ADDED, MODIFIED, DELETED or BOOKMARK arrived."""

    def failed(self, resource: str, reason: str) -> None:
        """A list or watch failed and will be tried again."""


class LeaderHooks(Protocol):
    """Told about leadership."""

    def leading(self, name: str, is_leader: bool) -> None:
        """Leadership was gained or lost."""


class NoHooks:
    """The default: nothing is measured."""

    def request(self, verb: str, resource: str, code: str, seconds: float) -> None:
        """Nothing."""

    def throttled(self, seconds: float) -> None:
        """Nothing."""

    def added(self, name: str, depth: int) -> None:
        """Nothing."""

    def got(self, name: str, depth: int, waited: float) -> None:
        """Nothing."""

    def done(self, name: str, worked: float) -> None:
        """Nothing."""

    def retried(self, name: str) -> None:
        """Nothing."""

    def active(self, controller: str, workers: int) -> None:
        """Nothing."""

    def reconciled(self, controller: str, result: str, seconds: float) -> None:
        """Nothing."""

    def listed(self, resource: str, objects: int) -> None:
        """Nothing."""

    def event(self, resource: str, kind: str) -> None:
        """Nothing."""

    def failed(self, resource: str, reason: str) -> None:
        """Nothing."""

    def leading(self, name: str, is_leader: bool) -> None:
        """Nothing."""


NO_HOOKS = NoHooks()

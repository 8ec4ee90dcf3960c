"""Which object this task is at, for whoever writes a log line somewhere below."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType

from .resource import Key

_NOTHING: Mapping[str, str] = MappingProxyType({})
_CURRENT: ContextVar[Mapping[str, str]] = ContextVar("current", default=_NOTHING)


def current() -> Mapping[str, str]:
    """Controller, namespace and name; empty outside of a reconcile."""
    return _CURRENT.get()


@contextmanager
def about(controller: str, key: Key) -> Iterator[None]:
    """Until the block ends, this task and those that it starts are at this object."""
    said = {"controller": controller, "namespace": key.namespace, "name": key.name}
    before = _CURRENT.set(said)
    try:
        yield
    finally:
        _CURRENT.reset(before)

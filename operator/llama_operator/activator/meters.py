"""llama_activator_*: who waits, for how long, and what came of it."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from llama_operator.activator.room import Room
from llama_operator.activator.servers import Servers

_SECONDS = (1, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600)


class Meters:
    """The series of one activator."""

    def __init__(self, room: Room, servers: Servers) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "llama_activator_requests",
            "Requests by what came of them.",
            ("outcome",),
            registry=self.registry,
        )
        self.waited = Histogram(
            "llama_activator_hold_seconds",
            "Seconds that a request waited for a server.",
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.scaled = Counter(
            "llama_activator_scalings",
            "Times that the deployment was woken (up) or put to sleep (down).",
            ("direction",),
            registry=self.registry,
        )
        self._gauge("held_requests", "Requests that wait for a server.", lambda: room.held)
        self._gauge("held_bytes", "Bytes of the requests that wait.", lambda: room.bytes)
        self._gauge("forwarding", "Requests that a server answers.", lambda: servers.forwarding)

    def _gauge(self, name: str, text: str, value: Callable[[], float]) -> None:
        gauge = Gauge(f"llama_activator_{name}", text, registry=self.registry)
        gauge.set_function(value)

    def render(self) -> bytes:
        """All series, as Prometheus reads them."""
        return generate_latest(self.registry)

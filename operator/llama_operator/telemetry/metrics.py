"""Prometheus metrics under the names that dashboards for controller-runtime and client-go know.

One registry per process object, not the global one, so that two operators in one test do not add
up. The classes have the methods that the runtime calls as hooks; they do not know the runtime.
Transport failures are a series of their own: an alert on reconcile errors must not page for each
restart of the API server.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from typing import Protocol

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from llama_operator.telemetry.certificate_metrics import CertificateMetrics

_SHORT = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_QUEUE = (1e-5, 1e-4, 1e-3, 1e-2, 0.1, 0.5, 1, 5, 10, 60, 300, 1000)


class Queue(Protocol):
    """What a scrape asks a work queue."""

    name: str

    @property
    def delayed(self) -> int:
        """Keys that wait for their time."""

    def __len__(self) -> int: ...

    def unfinished_seconds(self) -> float:
        """Sum of the ages of the runs in progress."""

    def longest_running_seconds(self) -> float:
        """Age of the oldest run in progress."""


class ApiMetrics:
    """rest_client_*: every exchange with the API server; code "transport" means no answer."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._requests = Counter(
            "rest_client_requests",
            "HTTP requests to the API server by verb, resource and status code.",
            ("verb", "resource", "code"),
            registry=registry,
        )
        self._seconds = Histogram(
            "rest_client_request_duration_seconds",
            "Time of requests to the API server; of watches, the time to open them.",
            ("verb",),
            buckets=_SHORT,
            registry=registry,
        )
        self._throttled = Counter(
            "rest_client_rate_limiter_seconds",
            "Seconds that requests waited for the client-side limiter.",
            registry=registry,
        )
        self._count = cache(self._requests.labels)
        self._time = cache(self._seconds.labels)

    def request(self, verb: str, resource: str, code: str, seconds: float) -> None:
        """An exchange ended."""
        self._count(verb, resource, code).inc()
        self._time(verb).observe(seconds)

    def throttled(self, seconds: float) -> None:
        """A request waited for the limiter."""
        if seconds:
            self._throttled.inc(seconds)


class QueueMetrics:
    """workqueue_*; gauges are read from the queues at scrape time (`observe`)."""

    def __init__(self, registry: CollectorRegistry) -> None:
        labels = ("name",)
        self._adds = Counter("workqueue_adds", "Keys that became ready.", labels, registry=registry)
        self._retries = Counter(
            "workqueue_retries", "Keys put back with backoff.", labels, registry=registry
        )
        self._waited = Histogram(
            "workqueue_queue_duration_seconds",
            "Seconds a ready key waited for a worker.",
            labels,
            buckets=_QUEUE,
            registry=registry,
        )
        self._worked = Histogram(
            "workqueue_work_duration_seconds",
            "Seconds a worker had a key.",
            labels,
            buckets=_QUEUE,
            registry=registry,
        )
        self._children = cache(lambda metric, name: metric.labels(name))
        self._queues: list[Queue] = []
        registry.register(_QueueCollector(self._queues))

    def observe(self, queue: Queue) -> None:
        """Show depth and ages of this queue too."""
        self._queues.append(queue)
        # As with errors, so that the first one counts.
        for counter in (self._adds, self._retries):
            self._children(counter, queue.name)

    def added(self, name: str, depth: int) -> None:  # noqa: ARG002 - depth is read at scrape time
        """A key became ready."""
        self._children(self._adds, name).inc()

    def got(self, name: str, depth: int, waited: float) -> None:  # noqa: ARG002
        """A worker took a key."""
        self._children(self._waited, name).observe(waited)

    def done(self, name: str, worked: float) -> None:
        """A worker finished a key."""
        self._children(self._worked, name).observe(worked)

    def retried(self, name: str) -> None:
        """A key failed and was put back."""
        self._children(self._retries, name).inc()


_QUEUE_GAUGES: tuple[tuple[str, str, Callable[[Queue], float]], ...] = (
    ("workqueue_depth", "Keys ready to be worked on.", len),
    ("workqueue_delayed", "Keys that wait for their time.", lambda q: q.delayed),
    (
        "workqueue_unfinished_work_seconds",
        "Sum of the ages of runs in progress.",
        lambda q: q.unfinished_seconds(),
    ),
    (
        "workqueue_longest_running_processor_seconds",
        "Age of the oldest run in progress; growing for ever means a stuck worker.",
        lambda q: q.longest_running_seconds(),
    ),
)


class _QueueCollector(Collector):
    def __init__(self, queues: list[Queue]) -> None:
        self._queues = queues

    def collect(self) -> Iterable[Metric]:
        """Read every queue now."""
        for name, text, read in _QUEUE_GAUGES:
            family = GaugeMetricFamily(name, text, labels=("name",))
            for queue in self._queues:
                family.add_metric((queue.name,), read(queue))
            yield family


class ControllerMetrics:
    """reconcile_*: outcomes and durations."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._total = Counter(
            "reconcile",
            "Reconciles by result: success, requeue_after, conflict, error, terminal_error, "
            "transport_error, not_leader.",
            ("controller", "result"),
            registry=registry,
        )
        self._errors = Counter(
            "reconcile_errors",
            "Reconciles that failed, other than for want of an answer of the API server.",
            ("controller",),
            registry=registry,
        )
        self._seconds = Histogram(
            "reconcile_time_seconds",
            "Duration of reconciles.",
            ("controller",),
            buckets=_SHORT,
            registry=registry,
        )
        self._active = Gauge(
            "reconcile_active_workers",
            "Workers that are reconciling.",
            ("controller",),
            registry=registry,
        )
        self._children = cache(lambda metric, *labels: metric.labels(*labels))

    def known(self, controller: str) -> None:
        """Show no errors before the first one: `increase` misses the step from nothing to 1."""
        self._children(self._errors, controller)

    def active(self, controller: str, workers: int) -> None:
        """Number of busy workers."""
        self._children(self._active, controller).set(workers)

    def reconciled(self, controller: str, result: str, seconds: float) -> None:
        """A reconcile ended."""
        self._children(self._total, controller, result).inc()
        self._children(self._seconds, controller).observe(seconds)
        if result in {"error", "terminal_error"}:
            self._children(self._errors, controller).inc()


class InformerMetrics:
    """informer_*: health of the watches."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._lists = Counter(
            "informer_lists", "Full states received.", ("resource",), registry=registry
        )
        self._objects = Gauge(
            "informer_listed_objects",
            "Objects in the last full state.",
            ("resource",),
            registry=registry,
        )
        self._events = Counter(
            "informer_events", "Watch events.", ("resource", "type"), registry=registry
        )
        self._failures = Counter(
            "informer_failures",
            "Failed lists and watches.",
            ("resource", "reason"),
            registry=registry,
        )
        self._event = cache(self._events.labels)

    def listed(self, resource: str, objects: int) -> None:
        """A full state came."""
        self._lists.labels(resource).inc()
        self._objects.labels(resource).set(objects)

    def event(self, resource: str, kind: str) -> None:
        """An event came."""
        self._event(resource, kind).inc()

    def failed(self, resource: str, reason: str) -> None:
        """A list or watch failed."""
        self._failures.labels(resource, reason or "unknown").inc()


class LeaderMetrics:
    """leader_election_master_status: 1 while leading."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._status = Gauge(
            "leader_election_master_status",
            "1 while this process leads.",
            ("name",),
            registry=registry,
        )

    def leading(self, name: str, is_leader: bool) -> None:
        """Leadership changed."""
        self._status.labels(name).set(int(is_leader))


class Metrics:
    """All of the above on one registry, which users add their own metrics to."""

    content_type = CONTENT_TYPE_LATEST

    def __init__(self, version: str = "") -> None:
        self.registry = CollectorRegistry(auto_describe=True)
        build = Info("llama_operator_build", "1; there while it runs.", registry=self.registry)
        build.info({"version": version})
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self.api = ApiMetrics(self.registry)
        self.queue = QueueMetrics(self.registry)
        self.controller = ControllerMetrics(self.registry)
        self.informer = InformerMetrics(self.registry)
        self.leader = LeaderMetrics(self.registry)
        self.certificates = CertificateMetrics(self.registry)

    def render(self) -> bytes:
        """The exposition text."""
        return generate_latest(self.registry)

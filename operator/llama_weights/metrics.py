"""Progress of one Job for Prometheus: `--metrics-port` serves /metrics while the work runs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from llama_weights.errors import UsageError
from llama_weights.meter import Meter

if TYPE_CHECKING:
    from prometheus_client.core import Metric
    from prometheus_client.registry import Collector

NAMES = {
    "done_bytes": "Bytes that are there.",
    "bytes": "Bytes in all.",
    "fetched_bytes": "Bytes that came over the network in this run.",
    "bytes_per_second": "Speed over the last half minute.",
    "eta_seconds": "Time left at that speed.",
    "retries": "Requests for bytes that failed and were made again.",
    "url_expiry_timestamp_seconds": "When Meta's URL ends, in seconds since 1970.",
}


@contextlib.contextmanager
def served(meter: Meter, port: int) -> Iterator[None]:
    """Serve a meter until the block ends; port 0 serves nothing. Raises UsageError."""
    if not port:
        yield
        return
    # Imported here: most runs are by hand, and have no one to scrape them.
    from prometheus_client import CollectorRegistry, start_http_server  # noqa: PLC0415

    registry = CollectorRegistry()
    registry.register(collector(meter))
    try:
        server, thread = start_http_server(port, registry=registry)
    except OSError as error:
        raise UsageError(
            f"port {port} cannot be listened on ({error.strerror})", field="--metrics-port"
        ) from error
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join(1.0)


def values(meter: Meter) -> dict[str, float]:
    """What is told, by the end of its name."""
    now = meter.read()
    found = {
        "done_bytes": float(now.done),
        "bytes": float(now.total),
        "fetched_bytes": float(meter.fetched),
        "bytes_per_second": now.rate,
        "retries": float(meter.retries),
    }
    if now.rate >= 1 and now.done < now.total:
        found["eta_seconds"] = (now.total - now.done) / now.rate
    if meter.expires:
        found["url_expiry_timestamp_seconds"] = meter.expires
    return found


def collector(meter: Meter) -> Collector:
    """Reads the meter when it is scraped."""
    from prometheus_client.core import GaugeMetricFamily  # noqa: PLC0415
    from prometheus_client.registry import Collector  # noqa: PLC0415

    class OfMeter(Collector):
        """All families."""

        def collect(self) -> Iterable[Metric]:
            """The present state."""
            for name, value in values(meter).items():
                family = GaugeMetricFamily(f"llama_weights_{name}", NAMES[name])
                family.add_metric((), value)
                yield family
            phase = GaugeMetricFamily("llama_weights_phase", "1 for the phase.", labels=("phase",))
            phase.add_metric((meter.read().phase,), 1)
            yield phase

    return OfMeter()

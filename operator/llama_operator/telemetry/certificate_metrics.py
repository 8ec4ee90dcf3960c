"""certwatcher_*: how often the certificate of the metrics was read, as controller-runtime counts it."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter


class CertificateMetrics:
    """Both stay 0 where metrics are not served over TLS."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._read = Counter(
            "certwatcher_read_certificate", "Certificates that were read.", registry=registry
        )
        self._failed = Counter(
            "certwatcher_read_certificate_errors",
            "Times that a certificate was of no use and the one before it stayed.",
            registry=registry,
        )

    def read(self) -> None:
        """A pair was read and is served."""
        self._read.inc()

    def failed(self) -> None:
        """A pair was of no use."""
        self._failed.inc()

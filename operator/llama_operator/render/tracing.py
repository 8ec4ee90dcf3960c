"""Traces of requests, sent by vLLM itself to a collector: no flag and no variable without one.

vLLM takes the protocol from a variable and not from the endpoint, and gRPC unless told otherwise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:  # as in `flags`, which needs the flag
    from llama_operator.render.inputs import Object, Serving


def tracing_args(serving: Serving) -> list[str]:
    """The flag that turns traces on."""
    endpoint = _endpoint(serving)
    return [f"--otlp-traces-endpoint={endpoint}"] if endpoint else []


def tracing_env(serving: Serving) -> list[Object]:
    """Who the spans are of, and how they travel."""
    endpoint, owner = _endpoint(serving), serving.owner
    if not endpoint:
        return []
    values = {
        "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": _protocol(endpoint),
        "OTEL_SERVICE_NAME": owner.name,
        "OTEL_RESOURCE_ATTRIBUTES": f"k8s.namespace.name={owner.namespace}",
    }
    return [{"name": name, "value": value} for name, value in values.items()]


def _endpoint(serving: Serving) -> str:
    return serving.spec.observability.otlp_endpoint or serving.settings.otlp_endpoint


def _protocol(endpoint: str) -> str:
    """OTLP over HTTP needs a path, gRPC has none."""
    return "http/protobuf" if urlsplit(endpoint).path.strip("/") else "grpc"

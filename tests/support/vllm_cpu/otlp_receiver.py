"""A collector of traces, run by vLLM's own Python, which has what reads them.

`PYTHON otlp_receiver.py`: prints its two ports (HTTP, gRPC), then a JSON line for each span.
"""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import grpc  # type: ignore[import-untyped]
from opentelemetry.proto.collector.trace.v1 import (  # type: ignore[import-not-found]
    trace_service_pb2,
    trace_service_pb2_grpc,
)

_PRINTING = threading.Lock()


def told(request: Any, how: str) -> Any:
    """Print the spans of a request, and answer it."""
    for resource in request.resource_spans:
        about = {each.key: each.value.string_value for each in resource.resource.attributes}
        spans = [span for scope in resource.scope_spans for span in scope.spans]
        for span in spans:
            line = {
                "how": how,
                "name": span.name,
                "resource": about,
                "trace": span.trace_id.hex(),
                "attributes": [each.key for each in span.attributes],
            }
            with _PRINTING:
                print(json.dumps(line), flush=True)
    return trace_service_pb2.ExportTraceServiceResponse()


class OverHttp(BaseHTTPRequestHandler):
    """OTLP over HTTP."""

    def do_POST(self) -> None:
        """One request with spans."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        found = trace_service_pb2.ExportTraceServiceRequest.FromString(body)
        answer = told(found, f"http {self.path}").SerializeToString()
        self.send_response(200)
        self.send_header("Content-Type", "application/x-protobuf")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: Any) -> None:
        """Standard output is for spans."""


class OverGrpc(trace_service_pb2_grpc.TraceServiceServicer):  # type: ignore[misc]
    """OTLP over gRPC."""

    def Export(self, request: Any, _context: Any) -> Any:  # noqa: N802 - the protocol's name
        """One request with spans."""
        return told(request, "grpc")


def main() -> None:
    """Serve until it is ended."""
    http = ThreadingHTTPServer(("127.0.0.1", 0), OverHttp)
    remote = grpc.server(ThreadPoolExecutor(2))
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(OverGrpc(), remote)
    port = remote.add_insecure_port("127.0.0.1:0")
    remote.start()
    print(json.dumps([http.server_port, port]), flush=True)
    http.serve_forever()


if __name__ == "__main__":
    main()

"""What Prometheus' discovery would find in a cluster, over HTTP: Debian's build of it knows none."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.support.prometheus.monitors import sanitized

Object = dict[str, Any]
Group = dict[str, Any]
_META = "__meta_kubernetes_"


def pods(found: Iterable[Object]) -> list[Group]:
    """A target for each port of each pod that has an address."""
    return [
        {
            "targets": [f"{pod['status']['podIP']}:{port['containerPort']}"],
            "labels": {
                **_pod(pod),
                f"{_META}pod_container_name": container["name"],
                f"{_META}pod_container_port_name": port.get("name", ""),
            },
        }
        for pod in found
        if pod.get("status", {}).get("podIP")
        for container in pod["spec"]["containers"]
        for port in container.get("ports", ())
    ]


def behind(service: Object, address: str, pod: str) -> Group:
    """One address behind a Service, as its endpoints would show it."""
    (port,) = service["spec"]["ports"]
    return {
        "targets": [address],
        "labels": {
            f"{_META}namespace": service["metadata"]["namespace"],
            f"{_META}service_name": service["metadata"]["name"],
            f"{_META}endpoint_port_name": port["name"],
            f"{_META}pod_name": pod,
            **_labels("service", service["metadata"]),
        },
    }


def _pod(pod: Object) -> dict[str, str]:
    meta = pod["metadata"]
    return {
        f"{_META}namespace": meta["namespace"],
        f"{_META}pod_name": meta["name"],
        f"{_META}pod_phase": pod["status"].get("phase", ""),
        **_labels("pod", meta),
    }


def _labels(kind: str, meta: Object) -> dict[str, str]:
    made = {}
    for key, value in meta.get("labels", {}).items():
        made[f"{_META}{kind}_label_{sanitized(key)}"] = value
        made[f"{_META}{kind}_labelpresent_{sanitized(key)}"] = "true"
    return made


@contextlib.contextmanager
def served(sources: Mapping[str, Callable[[], list[Group]]]) -> Iterator[Mapping[str, Object]]:
    """Each source as the `http_sd_configs` of a scrape configuration, asked every second."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            try:
                body = json.dumps(sources[self.path[1:]]()).encode()
            except Exception as problem:  # Prometheus keeps what it found last
                self.send_error(500, str(problem)[:200])
                return
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Nobody reads it."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.1,), daemon=True)
    thread.start()
    try:
        yield {name: _configs(server.server_port, name) for name in sources}
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


def _configs(port: int, name: str) -> Object:
    url = f"http://127.0.0.1:{port}/{name}"
    return {"http_sd_configs": [{"url": url, "refresh_interval": "1s"}]}

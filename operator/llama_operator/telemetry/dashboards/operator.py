"""The operator itself: who leads, what reconciles cost, queues, the API server, caches."""

from __future__ import annotations

from llama_operator.telemetry.dashboards.grafana import (
    Dashboard,
    Panel,
    Query,
    Row,
    Variable,
    lines,
    quantiles,
    stat,
    table,
)
from llama_operator.telemetry.dashboards.words import rate

# Other programs use these names too; the operator's pods are those that show its version, so that
# all of them must not be `.*`.
_BUILD = 'llama_operator_build_info{namespace=~"$namespace"}'
_PODS = 'namespace=~"$namespace", pod=~"$pod"'
_OURS = f'{_PODS}, controller=~"llama.*"'
_QUEUES = f'{_PODS}, name=~"llama.*"'
_LEASE = f'{_PODS}, name="llama-operator"'


def _rate(title: str, metric: str, by: str, labels: str = _PODS, **more: object) -> Panel:
    legend = " ".join(f"{{{{{each.strip()}}}}}" for each in by.split(","))
    return lines(title, Query(rate(metric, by, labels), legend), unit="cps", **more)


def _gauge(title: str, metric: str, by: str, labels: str, unit: str = "short") -> Panel:
    legend = " ".join(f"{{{{{each.strip()}}}}}" for each in by.split(","))
    return lines(title, Query(f"sum by ({by}) ({metric}{{{labels}}})", legend), unit=unit)


_NOW = Row(
    "Now",
    (
        stat("Replicas", Query(f"count(llama_operator_build_info{{{_PODS}}})")),
        stat(
            "Leaders", Query(f"sum(leader_election_master_status{{{_LEASE}}})"), text="1 is good."
        ),
        stat("Reconciles a second", Query(f"sum({rate('reconcile_total', 'pod', _OURS)})")),
        stat(
            "Errors in an hour",
            Query(f"sum(increase(reconcile_errors_total{{{_OURS}}}[1h])) or vector(0)"),
        ),
        table(
            "Versions",
            Query(f"max by (pod, version) (llama_operator_build_info{{{_PODS}}})"),
            width=8,
            height=4,
        ),
    ),
)

_RECONCILES = Row(
    "Reconciles",
    (
        _rate("By result", "reconcile_total", "controller, result", _OURS),
        lines(
            "Duration",
            *quantiles("reconcile_time_seconds", _OURS, "controller", 0.5, 0.99),
            unit="s",
        ),
        _gauge("Busy workers", "reconcile_active_workers", "controller", _OURS),
    ),
)

_QUEUE = Row(
    "Queues",
    (
        lines(
            "Keys",
            Query(f"sum by (name) (workqueue_depth{{{_QUEUES}}})", "ready {{name}}"),
            Query(f"sum by (name) (workqueue_delayed{{{_QUEUES}}})", "delayed {{name}}"),
        ),
        lines(
            "Came, and were put back",
            Query(rate("workqueue_adds_total", "name", _QUEUES), "came {{name}}"),
            Query(rate("workqueue_retries_total", "name", _QUEUES), "again {{name}}"),
            unit="cps",
        ),
        lines(
            "Wait for a worker",
            *quantiles("workqueue_queue_duration_seconds", _QUEUES, "name", 0.5, 0.99),
            unit="s",
        ),
        lines(
            "Work on a key",
            *quantiles("workqueue_work_duration_seconds", _QUEUES, "name", 0.5, 0.99),
            unit="s",
        ),
        _gauge(
            "Age of runs in progress", "workqueue_unfinished_work_seconds", "name", _QUEUES, "s"
        ),
        _gauge("Oldest run", "workqueue_longest_running_processor_seconds", "name", _QUEUES, "s"),
    ),
)

_API = Row(
    "API server",
    (
        _rate("Requests by verb", "rest_client_requests_total", "verb", stacked=True),
        _rate(
            "Requests by answer",
            "rest_client_requests_total",
            "code",
            stacked=True,
            text="transport: no answer came.",
        ),
        lines(
            "Duration, p99",
            *quantiles("rest_client_request_duration_seconds", _PODS, "verb", 0.99),
            unit="s",
        ),
        _rate(
            "Held back by our own limit",
            "rest_client_rate_limiter_seconds_total",
            "pod",
            text="Seconds of waiting in each second.",
        ),
        _rate("Watch events", "informer_events_total", "resource", stacked=True),
        lines(
            "Lists and watches that failed",
            Query(
                f"{rate('informer_failures_total', 'resource, reason', _PODS)} or vector(0)",
                "{{resource}} {{reason}}",
            ),
            unit="cps",
        ),
    ),
)

_PROCESS = Row(
    "Process",
    (
        lines(
            "Objects in caches, as last listed",
            Query(f"max by (resource) (informer_listed_objects{{{_PODS}}})", "{{resource}}"),
            width=6,
        ),
        _rate("CPU", "process_cpu_seconds_total", "pod", width=6),
        lines(
            "Memory",
            Query(f"process_resident_memory_bytes{{{_PODS}}}", "{{pod}}"),
            unit="bytes",
            width=6,
        ),
        lines("Open files", Query(f"process_open_fds{{{_PODS}}}", "{{pod}}"), width=6),
    ),
)

DASHBOARD = Dashboard(
    uid="llama-operator",
    title="Llama / Operator",
    text="The operator itself: who leads, what reconciles cost, queues, the API server, caches.",
    variables=(
        Variable("namespace", "label_values(llama_operator_build_info, namespace)", listed=True),
        Variable("pod", f"label_values({_BUILD}, pod)", listed=True),
    ),
    rows=(_NOW, _RECONCILES, _QUEUE, _API, _PROCESS),
)

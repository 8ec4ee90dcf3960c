"""Pieces of PromQL that several dashboards share.

Every replica of the operator shows the whole fleet, so its series are joined by `max by`. vLLM's
and the Jobs' series carry the labels namespace, name and pod, which their PodMonitors give them.
"""

from __future__ import annotations

from llama_operator.telemetry.dashboards.grafana import Variable

OBJECT = 'namespace=~"$namespace", name=~"$name"'
RATE = "[$__rate_interval]"


def variables(metric: str, *, multi: bool = True) -> tuple[Variable, ...]:
    """Namespace and name of the objects that a metric has; names one at a time unless `multi`."""
    return (
        Variable("namespace", f"label_values({metric}, namespace)"),
        Variable("name", f'label_values({metric}{{namespace=~"$namespace"}}, name)', multi=multi),
    )


def each(metric: str, by: str = "namespace, name") -> str:
    """A gauge of the operator, once for each object."""
    return f"max by ({by}) ({metric}{{{OBJECT}}})"


def rate(metric: str, by: str = "namespace, name", labels: str = OBJECT) -> str:
    """What a counter gains each second."""
    return f"sum by ({by}) (rate({metric}{{{labels}}}{RATE}))"


def total(metric: str, by: str = "namespace, name") -> str:
    """A gauge of vLLM, summed over its servers."""
    return f"sum by ({by}) ({metric}{{{OBJECT}}})"


def mean(histogram: str, by: str = "namespace, name") -> str:
    """The mean of what a histogram saw lately."""
    return f"{rate(f'{histogram}_sum', by)} / {rate(f'{histogram}_count', by)}"

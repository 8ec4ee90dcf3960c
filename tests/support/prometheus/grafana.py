"""What Grafana does with a panel before it asks Prometheus: variables become values."""

from __future__ import annotations

import re
from collections.abc import Iterable

from llama_operator.telemetry.dashboards.grafana import Dashboard, Panel, Query

_VARIABLE = re.compile(r"\$\{?(\w+)\}?")


def variables(expr: str) -> set[str]:
    """The variables that an expression names."""
    return set(_VARIABLE.findall(expr))


def asked(expr: str, interval: str = "1m") -> str:
    """The expression as it is sent when everything is chosen."""
    return _VARIABLE.sub(lambda found: interval if found[1].startswith("__") else ".*", expr)


def queries(dashboards: Iterable[Dashboard]) -> list[tuple[str, Panel, Query]]:
    """All queries, each with its panel and the words to name it by."""
    return [
        (f"{dashboard.title}: {panel.title} [{place}]", panel, query)
        for dashboard in dashboards
        for panel in dashboard.panels
        for place, query in enumerate(panel.queries)
    ]

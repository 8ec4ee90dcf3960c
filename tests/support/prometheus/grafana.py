"""What Grafana does with a dashboard before it asks Prometheus: variables become values."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from llama_operator.telemetry.dashboards.grafana import Dashboard, Panel, Query

Object = dict[str, Any]
_VARIABLE = re.compile(r"\$\{?(\w+)\}?")
# Escaped twice: once for the expression, once for the string that it stands in.
_SPECIAL = re.compile(r"[$^*{}\[\]'+?.()|]")
_LABEL_VALUES = re.compile(r"label_values\((.+),\s*(\w+)\)")


def variables(expr: str) -> set[str]:
    """The variables that an expression names."""
    return set(_VARIABLE.findall(expr))


def filled(expr: str, values: Mapping[str, str]) -> str:
    """The expression with its variables' values; raises KeyError for one that is not known."""
    return _VARIABLE.sub(lambda found: values[found[1]], expr)


def asked(expr: str, interval: str = "1m") -> str:
    """The expression as it is sent when everything is chosen."""
    return filled(expr, {v: interval if v.startswith("__") else ".*" for v in variables(expr)})


def label_values(query: str) -> tuple[str, str]:
    """Selector and label of a variable's query."""
    found = _LABEL_VALUES.fullmatch(query)
    if found is None:
        raise ValueError(f"{query!r} is no label_values(SELECTOR, LABEL)")
    return found[1], found[2]


def chosen(variable: Object, there: Sequence[str]) -> str:
    """What is put in for a variable that nobody has touched: all, else the first."""
    if not variable.get("includeAll"):
        return next(iter(there), "")
    listed = "|".join(_SPECIAL.sub(r"\\\\\g<0>", value) for value in there)
    return str(variable.get("allValue") or (f"({listed})" if len(there) > 1 else listed))


def rate_interval(step: float, scrape: float) -> str:
    """$__rate_interval: room for two scrapes at least, whatever the zoom."""
    return f"{max(step + scrape, 4 * scrape):g}s"


def queries(dashboards: Iterable[Dashboard]) -> list[tuple[str, Panel, Query]]:
    """All queries, each with its panel and the words to name it by."""
    return [
        (f"{dashboard.title}: {panel.title} [{place}]", panel, query)
        for dashboard in dashboards
        for panel in dashboard.panels
        for place, query in enumerate(panel.queries)
    ]

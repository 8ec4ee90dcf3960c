"""From a compact description to the JSON that Grafana imports (schema 39, Grafana 10 and newer)."""

from __future__ import annotations

import json
import string
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

Json = dict[str, Any]
Kind = Literal["timeseries", "stat", "table", "bargauge", "heatmap"]
SCHEMA = 39
COLUMNS = 24
_SOURCE: Json = {"type": "prometheus", "uid": "${datasource}"}


@dataclass(frozen=True)
class Query:
    """PromQL, and the legend of its series; of a table, the heading of its column."""

    expr: str
    legend: str = ""


@dataclass(frozen=True)
class Panel:
    """One panel. `apart` says why it is empty where a server on a CPU serves well."""

    kind: Kind
    title: str
    queries: tuple[Query, ...]
    unit: str = "short"
    width: int = 8
    height: int = 7
    text: str = ""
    stacked: bool = False
    apart: str = ""


@dataclass(frozen=True)
class Row:
    """Panels under a heading, filled in from the left."""

    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True)
class Variable:
    """A choice whose values Prometheus has: `query` is label_values(metric, label).

    All of them is everything (`.*`), or, with `listed`, exactly those that the query found.
    """

    name: str
    query: str
    multi: bool = True
    listed: bool = False


@dataclass(frozen=True)
class Dashboard:
    """One dashboard; `uid` is part of its address and never changes."""

    uid: str
    title: str
    text: str
    variables: tuple[Variable, ...]
    rows: tuple[Row, ...]

    @property
    def panels(self) -> tuple[Panel, ...]:
        """All panels, in order."""
        return tuple(panel for row in self.rows for panel in row.panels)


# -- the words of a description ------------------------------------------------------------------


def lines(title: str, *queries: Query, unit: str = "short", **more: Any) -> Panel:
    """Series over time."""
    return Panel("timeseries", title, queries, unit, **more)


def stat(title: str, *queries: Query, unit: str = "short", **more: Any) -> Panel:
    """The last value in large figures."""
    return Panel("stat", title, queries, unit, **{"width": 4, "height": 4, **more})


def table(title: str, *columns: Query, **more: Any) -> Panel:
    """A row for each set of labels. A column without a heading only brings its labels."""
    return Panel("table", title, columns, **{"width": COLUMNS, **more})


def bars(title: str, *queries: Query, unit: str = "short", **more: Any) -> Panel:
    """The last value of each series as a bar."""
    return Panel("bargauge", title, queries, unit, **more)


def heatmap(title: str, metric: str, labels: str, **more: Any) -> Panel:
    """Buckets of a histogram of seconds over time."""
    expr = f"sum by (le) (increase({metric}_bucket{{{labels}}}[$__rate_interval]))"
    return Panel("heatmap", title, (Query(expr, "{{le}}"),), "s", **more)


def quantiles(metric: str, labels: str, by: str, *shares: float) -> tuple[Query, ...]:
    """Quantiles of a histogram, a series for each of `by`."""
    rate = f"sum by (le, {by}) (rate({metric}_bucket{{{labels}}}[$__rate_interval]))"
    legend = " ".join(f"{{{{{each.strip()}}}}}" for each in by.split(","))
    return tuple(
        Query(f"histogram_quantile({share}, {rate})", f"p{share * 100:g} {legend}")
        for share in shares
    )


# -- what Grafana wants --------------------------------------------------------------------------


def render(dashboard: Dashboard) -> str:
    """The JSON, the same bytes for the same description."""
    return json.dumps(_dashboard(dashboard), indent=1, ensure_ascii=False) + "\n"


def _dashboard(dashboard: Dashboard) -> Json:
    return {
        "uid": dashboard.uid,
        "title": dashboard.title,
        "description": dashboard.text,
        "tags": ["llama-operator"],
        "schemaVersion": SCHEMA,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {"list": [_DATASOURCE, *(_variable(each) for each in dashboard.variables)]},
        "links": [_LINKS],
        "panels": list(_placed(dashboard)),
    }


_DATASOURCE: Json = {
    "name": "datasource",
    "label": "Data source",
    "type": "datasource",
    "query": "prometheus",
}
_LINKS: Json = {
    "title": "Llama",
    "type": "dashboards",
    "tags": ["llama-operator"],
    "asDropdown": True,
    "includeVars": True,
    "keepTime": True,
}


def _variable(variable: Variable) -> Json:
    everything: Json = {"includeAll": True, "multi": True}
    if not variable.listed:
        everything |= {"allValue": ".*"}
    return {
        "name": variable.name,
        "type": "query",
        "datasource": _SOURCE,
        "query": {"query": variable.query, "refId": variable.name},
        "refresh": 2,
        "sort": 1,
        **(everything if variable.multi else {}),
    }


def _placed(dashboard: Dashboard) -> Iterator[Json]:
    number, top = 0, 0
    for row in dashboard.rows:
        number += 1
        place = {"x": 0, "y": top, "w": COLUMNS, "h": 1}
        yield {"id": number, "type": "row", "title": row.title, "gridPos": place, "panels": []}
        left, top, deepest = 0, top + 1, 0
        for panel in row.panels:
            if left + panel.width > COLUMNS:
                left, top, deepest = 0, top + deepest, 0
            number += 1
            place = {"x": left, "y": top, "w": panel.width, "h": panel.height}
            yield {"id": number, "gridPos": place, **_panel(panel)}
            left, deepest = left + panel.width, max(deepest, panel.height)
        top += deepest


def _panel(panel: Panel) -> Json:
    targets = [
        _target(panel, query, string.ascii_uppercase[place])
        for place, query in enumerate(panel.queries)
    ]
    made: Json = {
        "type": panel.kind,
        "title": panel.title,
        "description": panel.text,
        "datasource": _SOURCE,
        "fieldConfig": {"defaults": _field(panel), "overrides": []},
        "options": _OPTIONS[panel.kind],
        "targets": targets,
    }
    return made | ({"transformations": _columns(panel)} if panel.kind == "table" else {})


def _target(panel: Panel, query: Query, ref: str) -> Json:
    instant = panel.kind in ("stat", "table", "bargauge")
    shape = panel.kind if panel.kind in ("table", "heatmap") else "time_series"
    return {
        "refId": ref,
        "datasource": _SOURCE,
        "editorMode": "code",
        "expr": query.expr,
        "legendFormat": query.legend or "__auto",
        "format": shape,
        "instant": instant,
        "range": not instant,
    }


def _field(panel: Panel) -> Json:
    if panel.kind != "timeseries":
        return {"unit": panel.unit}
    stacking = {"mode": "normal" if panel.stacked else "none", "group": "A"}
    drawn = {"fillOpacity": 30 if panel.stacked else 8, "showPoints": "never", "stacking": stacking}
    return {"unit": panel.unit, "min": 0, "custom": drawn}


_LAST: Json = {"calcs": ["lastNotNull"], "fields": "", "values": False}
_OPTIONS: dict[Kind, Json] = {
    "timeseries": {
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
        "tooltip": {"mode": "multi", "sort": "desc"},
    },
    "stat": {"reduceOptions": _LAST, "colorMode": "none", "graphMode": "none"},
    "bargauge": {"reduceOptions": _LAST, "orientation": "horizontal", "displayMode": "basic"},
    "table": {"showHeader": True, "footer": {"show": False}},
    "heatmap": {"calculate": False, "yAxis": {"unit": "s"}, "color": {"mode": "scheme"}},
}


def _columns(panel: Panel) -> list[Json]:
    """One row for what carries the same labels; values get their headings."""
    several = len(panel.queries) > 1
    names = {
        f"Value #{string.ascii_uppercase[place]}" if several else "Value": query.legend
        for place, query in enumerate(panel.queries)
    }
    hidden = {"Time": True, **{value: True for value, heading in names.items() if not heading}}
    shown = {value: heading for value, heading in names.items() if heading}
    organize = {"excludeByName": hidden, "renameByName": shown}
    return [{"id": "merge", "options": {}}, {"id": "organize", "options": organize}]

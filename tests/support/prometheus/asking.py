"""Runs every query of a dashboard as Grafana would, and judges what comes back."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from llama_operator.telemetry.dashboards.__main__ import DIRECTORY
from llama_operator.telemetry.dashboards.grafana import Dashboard
from tests.support.prometheus import grafana
from tests.support.prometheus.server import Prometheus, QueryError, Series

Object = dict[str, Any]
# About as many as Grafana asks for on a screen.
POINTS = 500


@dataclass(frozen=True)
class Window:
    """The time that is looked at, in seconds since 1970, and how often Prometheus scrapes."""

    start: float
    end: float
    scrape: float

    @classmethod
    def last(cls, seconds: float, scrape: float) -> Window:
        """From then until now."""
        now = time.time()
        return cls(now - seconds, now, scrape)

    @property
    def step(self) -> float:
        """Time between two points."""
        return max((self.end - self.start) / POINTS, self.scrape)


@dataclass(frozen=True)
class Answer:
    """What came back for one query of a panel."""

    legend: str
    series: tuple[Series, ...] = ()
    error: str = ""


@dataclass(frozen=True)
class Shown:
    """A panel as somebody would see it; `apart` says why it may be empty."""

    title: str
    unit: str
    apart: str
    answers: tuple[Answer, ...]

    @property
    def problem(self) -> str:
        """What is wrong with it; "" where nothing is."""
        errors = [each.error for each in self.answers if each.error]
        if errors:
            return errors[0]
        filled = [bool(each.series) for each in self.answers]
        if self.apart:
            return "has data: it need not be listed apart" if any(filled) else ""
        return "" if all(filled) else "no data"


@dataclass(frozen=True)
class Choice:
    """A variable: what there is to choose from, and what the queries get."""

    name: str
    values: tuple[str, ...]
    chosen: str


@dataclass(frozen=True)
class Sight:
    """A whole dashboard."""

    title: str
    choices: tuple[Choice, ...]
    panels: tuple[Shown, ...]

    @property
    def problems(self) -> list[str]:
        """All that is wrong, by name."""
        empty = [f"{self.title}: ${c.name} has no values" for c in self.choices if not c.values]
        found = [(panel.title, panel.problem) for panel in self.panels]
        return empty + [f"{self.title}: {title}: {what}" for title, what in found if what]


def look(
    prometheus: Prometheus, dashboard: Dashboard, window: Window, wanted: Mapping[str, str]
) -> Sight:
    """The dashboard as its JSON in the chart says, all chosen but what `wanted` names."""
    document = json.loads((DIRECTORY / f"{dashboard.uid}.json").read_text())
    choices = tuple(_choices(prometheus, document, window, wanted))
    values = {each.name: each.chosen for each in choices}
    values["__rate_interval"] = grafana.rate_interval(window.step, window.scrape)
    panels = [each for each in document["panels"] if each["type"] != "row"]
    described = zip(panels, dashboard.panels, strict=True)
    shown = tuple(
        Shown(
            panel["title"],
            panel["fieldConfig"]["defaults"]["unit"],
            said.apart,
            tuple(_answer(prometheus, each, window, values) for each in panel["targets"]),
        )
        for panel, said in described
    )
    return Sight(document["title"], choices, shown)


def _choices(
    prometheus: Prometheus, document: Object, window: Window, wanted: Mapping[str, str]
) -> Iterator[Choice]:
    """Variables in their order: a later one may name an earlier one."""
    values: dict[str, str] = {}
    for variable in document["templating"]["list"]:
        if variable["type"] != "query":
            continue
        name = variable["name"]
        selector, label = grafana.label_values(variable["query"]["query"])
        there = prometheus.label_values(
            grafana.filled(selector, values), label, window.start, window.end
        )
        values[name] = wanted.get(name, grafana.chosen(variable, there))
        yield Choice(name, tuple(there), values[name])


def _answer(
    prometheus: Prometheus, target: Object, window: Window, values: Mapping[str, str]
) -> Answer:
    legend = "" if target["legendFormat"] == "__auto" else target["legendFormat"]
    expr = grafana.filled(target["expr"], values)
    try:
        if target["instant"]:
            found = prometheus.instant(expr, window.end)
        else:
            found = prometheus.over(expr, window.start, window.end, window.step)
    except QueryError as problem:
        return Answer(legend, error=str(problem))
    return Answer(legend, tuple(found))

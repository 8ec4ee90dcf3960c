"""`python -m tests.support.prometheus.panels`: every panel of the dashboards with what it shows.

Asks any Prometheus that scrapes operator and servers; exit status 1 where a panel is empty that is
not listed apart, or the other way round.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable

import click

from llama_operator.telemetry.dashboards import ALL
from llamactl.table import Column, render
from tests.support.prometheus.asking import Answer, Shown, Sight, Window, look
from tests.support.prometheus.server import Prometheus, QueryError

WIDTH = 100
_COLUMNS = (
    Column("PANEL", wrap=True, least=20),
    Column("QUERY", wrap=True, least=16),
    Column("SERIES", right=True),
    Column("LAST VALUE", right=True),
    Column("", wrap=True, least=12),
)


def table(sights: Iterable[Sight]) -> str:
    """All dashboards, one under the other."""
    return "\n\n".join(_dashboard(sight) for sight in sights)


def _dashboard(sight: Sight) -> str:
    chosen = ", ".join(f"{c.name} = {c.chosen} of {len(c.values)}" for c in sight.choices)
    rows = [row for panel in sight.panels for row in _rows(panel)]
    return f"{sight.title} ({chosen})\n{render(_COLUMNS, rows, WIDTH)}"


def _rows(panel: Shown) -> Iterable[tuple[str, ...]]:
    for place, answer in enumerate(panel.answers):
        first = place == 0
        said = (panel.problem or (panel.apart and f"apart: {panel.apart}")) if first else ""
        series = str(len(answer.series))
        yield (panel.title if first else "", answer.legend, series, _value(answer, panel), said)


def _value(answer: Answer, panel: Shown) -> str:
    if not answer.series:
        return "-"
    unit = "" if panel.unit == "short" else f" {panel.unit}"
    return f"{answer.series[0].values[-1]:.4g}{unit}"


def _pair(text: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not (name and sign):
        raise click.BadParameter(f"{text!r} is not NAME=VALUE", param_hint="--var")
    return name, value


@click.command()
@click.option("--url", default="http://127.0.0.1:9090", show_default=True, help="Prometheus.")
@click.option("--minutes", default=60.0, show_default=True, help="How far back to look.")
@click.option("--interval", default=30.0, show_default=True, help="Seconds between two scrapes.")
@click.option("--var", "variables", multiple=True, metavar="NAME=VALUE", help="Choose a value.")
def main(url: str, minutes: float, interval: float, variables: tuple[str, ...]) -> None:
    """Run every query of the four dashboards as Grafana would, and show what comes back."""
    wanted = dict(_pair(each) for each in variables)
    window = Window.last(minutes * 60, interval)
    prometheus = Prometheus(url)
    try:
        sights = [look(prometheus, each, window, wanted) for each in ALL]
    except QueryError as problem:
        raise click.ClickException(f"{problem}. Name a Prometheus with --url.") from problem
    click.echo(table(sights))
    problems = [problem for sight in sights for problem in sight.problems]
    for each in problems:
        click.echo(each, err=True)
    sys.exit(bool(problems))


if __name__ == "__main__":
    main()

"""How panels are run and judged; tests/e2e/test_panels.py does it with all that is real."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from click.testing import CliRunner
from tests.support.prometheus import grafana, panels
from tests.support.prometheus.asking import Answer, Shown, Window, look
from tests.support.prometheus.server import Prometheus, QueryError, Series

from llama_operator.telemetry.dashboards import ALL, deployment, operator

Object = dict[str, Any]
ONE = Series({}, (1.0,))
WINDOW = Window(1000.0, 1060.0, 2.0)


class Played:
    """A Prometheus that has one series for everything but what `empty` names."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.values = ["web", "a"]
        self.empty, self.number = "DCGM_|degraded", "1"

    def answer(self, path: str, asked: dict[str, list[str]]) -> tuple[int, Object]:
        if path.endswith("/values"):
            self.asked += asked["match[]"]
            return 200, {"data": self.values}
        (expr,) = asked["query"]
        self.asked.append(expr)
        if "refused" in self.number:
            return 400, {"error": "parse error"}
        none = any(word in expr and "vector(0)" not in expr for word in self.empty.split("|"))
        series: Object = {"metric": {}, "value": [1, self.number]}
        if path.endswith("query_range"):
            series = {"metric": {}, "values": [[1, "NaN"], [2, self.number]]}
        return 200, {"data": {"result": [] if none else [series]}}


@pytest.fixture
def played() -> Iterator[tuple[Played, str]]:
    play = Played()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            url = urlsplit(self.path)
            status, body = play.answer(url.path, parse_qs(url.query))
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        def log_message(self, *_: Any) -> None:
            """Nobody reads it."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield play, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_variables_are_asked_in_order_and_fill_the_queries(played: tuple[Played, str]) -> None:
    play, url = played
    sight = look(Prometheus(url), deployment.DASHBOARD, WINDOW, {})
    chosen = {each.name: (each.values, each.chosen) for each in sight.choices}
    assert chosen == {"namespace": (("a", "web"), ".*"), "name": (("a", "web"), "a")}
    assert play.asked[1] == 'llama_operator_deployment_state{namespace=~".*"}'
    ready = 'max by (namespace, name) (llama_operator_ready{namespace=~".*", name=~"a"})'
    assert ready in play.asked
    assert any("[8s]" in expr for expr in play.asked)
    assert not [expr for expr in play.asked if "$" in expr]
    other = look(Prometheus(url), deployment.DASHBOARD, WINDOW, {"name": "web"})
    assert other.choices[1].chosen == "web"


def test_a_dashboard_whose_panels_show_something_has_no_problem(
    played: tuple[Played, str],
) -> None:
    _, url = played
    assert look(Prometheus(url), deployment.DASHBOARD, WINDOW, {}).problems == []


def test_what_is_empty_or_refused_is_named(played: tuple[Played, str]) -> None:
    play, url = played
    play.number = "NaN"
    problems = look(Prometheus(url), operator.DASHBOARD, WINDOW, {}).problems
    assert "Llama / Operator: Replicas: no data" in problems
    play.number, play.values = "refused", []
    problems = look(Prometheus(url), operator.DASHBOARD, WINDOW, {}).problems
    assert "Llama / Operator: $namespace has no values" in problems
    assert any("parse error" in each for each in problems)


def test_one_empty_query_of_a_panel_is_a_problem_and_data_where_none_is_needed_too() -> None:
    full, empty = Answer("a", (ONE,)), Answer("b")
    assert Shown("p", "short", "", (full, full)).problem == ""
    assert Shown("p", "short", "", (full, empty)).problem == "no data"
    assert Shown("p", "short", "needs a GPU", (empty, empty)).problem == ""
    assert "listed apart" in Shown("p", "short", "needs a GPU", (full, empty)).problem


def test_the_command_shows_all_panels_in_a_hundred_columns(played: tuple[Played, str]) -> None:
    play, url = played
    play.empty = "DCGM_"
    options = ["--url", url, "--interval", "2", "--minutes", "1"]
    result = CliRunner().invoke(panels.main, options)
    assert result.exit_code == 1, "one that is listed apart has data"
    assert "Llama / Deployment: What is wrong: has data" in result.stderr
    assert all(len(line) <= panels.WIDTH for line in result.stdout.splitlines())
    for dashboard in ALL:
        assert f"{dashboard.title} (namespace = " in result.stdout
    assert result.stdout.count("apart: ") >= 3


def test_the_command_says_which_prometheus_does_not_answer() -> None:
    result = CliRunner().invoke(panels.main, ["--url", "http://127.0.0.1:1"])
    assert result.exit_code == 1
    assert "http://127.0.0.1:1 does not answer" in result.stderr
    assert CliRunner().invoke(panels.main, ["--var", "name"]).exit_code == 2


def test_rates_span_four_scrapes_and_a_step() -> None:
    assert grafana.rate_interval(step=15, scrape=30) == "120s"
    assert grafana.rate_interval(step=600, scrape=30) == "630s"


def test_all_of_a_variable_is_everything_or_exactly_what_there_is() -> None:
    one, several = ["llama-1.a"], ["a", "b"]
    assert grafana.chosen({}, several) == "a"
    assert grafana.chosen({"includeAll": True, "allValue": ".*"}, several) == ".*"
    assert grafana.chosen({"includeAll": True}, several) == "(a|b)"
    assert grafana.chosen({"includeAll": True}, one) == r"llama-1\\.a"


def test_the_operators_dashboard_shows_no_other_programs(played: tuple[Played, str]) -> None:
    """process_*, rest_client_* and others are names of every second program."""
    play, url = played
    look(Prometheus(url), operator.DASHBOARD, WINDOW, {})
    queries = [expr for expr in play.asked if "process_resident" in expr]
    assert queries == ['process_resident_memory_bytes{namespace=~"(a|web)", pod=~"(a|web)"}']
    assert not [expr for expr in play.asked if '=~".*"' in expr]


def test_an_unknown_variable_and_an_odd_query_are_errors() -> None:
    with pytest.raises(KeyError):
        grafana.filled("up{a=~'$b'}", {})
    with pytest.raises(ValueError, match="label_values"):
        grafana.label_values("query_result(up)")
    with pytest.raises(QueryError):
        Prometheus("http://127.0.0.1:1").instant("up", 1.0)

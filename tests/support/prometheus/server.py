"""A real Prometheus, and the questions that Grafana asks it."""

from __future__ import annotations

import contextlib
import json
import math
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.support.cluster.ports import held
from tests.support.prometheus.install import PrometheusError, find
from tests.support.stack import answers, wait_for

Object = dict[str, Any]


class QueryError(Exception):
    """Prometheus did not answer a query; says what it said."""


@dataclass(frozen=True)
class Series:
    """Labels, and the values that are numbers, oldest first."""

    labels: dict[str, str]
    values: tuple[float, ...]


class Prometheus:
    """A server by its address; every question raises QueryError."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")

    def instant(self, expr: str, at: float) -> list[Series]:
        """What an expression is at a moment."""
        found = self.get("query", {"query": expr, "time": at})["result"]
        return _series((each["metric"], [each["value"]]) for each in found)

    def over(self, expr: str, start: float, end: float, step: float) -> list[Series]:
        """What an expression was in a time."""
        asked = {"query": expr, "start": start, "end": end, "step": step}
        found = self.get("query_range", asked)["result"]
        return _series((each["metric"], each["values"]) for each in found)

    def label_values(self, selector: str, label: str, start: float, end: float) -> list[str]:
        """The values of a label, as they lie in Grafana's list."""
        asked = {"match[]": selector, "start": start, "end": end}
        return sorted(self.get(f"label/{label}/values", asked))

    def get(self, path: str, asked: Object) -> Any:
        """The data of an answer of /api/v1."""
        url = f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(asked)}"
        try:
            with urllib.request.urlopen(url, timeout=30) as answer:  # noqa: S310 - whom we were told
                return json.load(answer)["data"]
        except urllib.error.HTTPError as refused:
            raise QueryError(refused.read().decode(errors="replace")[:500]) from refused
        except OSError as problem:
            raise QueryError(f"{self.url} does not answer: {problem}") from problem


def _series(found: Any) -> list[Series]:
    """Series with a number in them: NaN is what Grafana draws nothing for."""
    made = []
    for labels, samples in found:
        values = tuple(v for v in (float(text) for _, text in samples) if math.isfinite(v))
        if values:
            made.append(Series(labels, values))
    return made


@contextlib.contextmanager
def running(
    directory: Path, scrapes: Sequence[Object], interval: str, rules: Sequence[Path] = ()
) -> Iterator[Prometheus]:
    """Prometheus with these scrape configurations and files of rules, until the block ends."""
    program = find("prometheus")
    if program is None:
        raise PrometheusError("there is no prometheus: `make prepare` unpacks Debian's package")
    config = directory / "prometheus.yaml"
    names = ("scrape_interval", "scrape_timeout", "evaluation_interval")
    content = {
        "global": dict.fromkeys(names, interval),
        "rule_files": [str(path) for path in rules],
        "scrape_configs": list(scrapes),
    }
    config.write_text(yaml.safe_dump(content))
    with held(1) as (port,):
        pass
    command = [
        str(program),
        f"--config.file={config}",
        f"--storage.tsdb.path={directory / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=warn",
    ]
    log = directory / "prometheus.log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
    try:
        url = f"http://127.0.0.1:{port}"
        wait_for(lambda: _ready(process, url, log), 30, "Prometheus")
        yield Prometheus(url)
    finally:
        process.terminate()
        process.wait(20)


def _ready(process: subprocess.Popen[bytes], url: str, log: Path) -> bool:
    if process.poll() is not None:
        raise PrometheusError(f"it ended: {log.read_text(errors='replace')[-1000:]}")
    return answers(f"{url}/-/ready")

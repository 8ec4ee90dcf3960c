"""Each panel of each dashboard shows something: real Prometheus, real operator, real vLLM.

`make panels` runs this and shows the table.
"""

from __future__ import annotations

import base64
import json
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.chart.helm import MONITORING, of, rendered
from tests.e2e.conftest import NAMESPACE, SMOLLM2
from tests.e2e.test_fetching import settles
from tests.support.demo.ask import api_key, ask, forwarded
from tests.support.hub.meta import MetaHub
from tests.support.prometheus import discovery, monitors, panels, server
from tests.support.prometheus.asking import Sight, Window, look
from tests.support.prometheus.install import find
from tests.support.prometheus.operators import addresses
from tests.support.prometheus.promql import metrics
from tests.support.prometheus.server import Prometheus
from tests.support.stack import PROJECT, RUNTIME_CLASS, VLLM_IMAGE, Stack, wait_for

from llama_operator.telemetry.dashboards import ALL

pytestmark = [
    pytest.mark.node,
    pytest.mark.vllm,
    pytest.mark.slow,
    pytest.mark.timeout(900),
]
Object = dict[str, Any]
NAME, BROKEN, COMING = "panels", "panels-broken", "panels-meta"
SCRAPE_SECONDS = 2
RULES = sorted((PROJECT / "charts/llama-operator/files/alerts").glob("*.yaml"))
# The fetch takes so long that its Job reports more than once, at most every 10 s.
BYTES_PER_SECOND = 10_000_000


@pytest.fixture
def prometheus(stack: Stack, tmp_path: Path) -> Iterator[Prometheus]:
    """It scrapes what the chart's monitors select, from before the first pod on."""
    if find("prometheus") is None:
        pytest.skip("there is no prometheus: `make prepare` unpacks Debian's package")
    chart = rendered({}, *MONITORING)
    service, rest = of("Service", chart), stack.cluster.rest()
    sources = {
        "pods": lambda: discovery.pods(rest.get("/api/v1/pods")["items"]),
        "operator": lambda: [discovery.behind(service, *each) for each in addresses(stack)],
    }
    interval = f"{SCRAPE_SECONDS}s"
    with discovery.served(sources) as found:
        scrapes = [
            monitors.of_pods(each, found["pods"], interval)
            for each in chart
            if each["kind"] == "PodMonitor"
        ]
        own = monitors.of_services(of("ServiceMonitor", chart), found["operator"], interval)
        with server.running(tmp_path, [own, *scrapes], interval, RULES) as started:
            yield started


@pytest.fixture
def world(stack: Stack, prometheus: Prometheus) -> Iterator[float]:
    """A copy that comes slowly, a server of it, one without its key, one of Meta; since when."""
    since = time.time()
    try:
        _apply(stack, *_objects())
        yield since
    finally:
        for kind, name in (("llama", NAME), ("llama", BROKEN)):
            stack.cluster.kubectl("delete", kind, name, "-n", NAMESPACE, timeout=120)
        for name in (NAME, COMING):
            stack.cluster.kubectl("delete", "llamaweights", name, "-n", NAMESPACE, timeout=120)
        stack.cluster.kubectl("delete", "secret", COMING, "-n", NAMESPACE)


def _objects() -> list[Object]:
    mail = {"url": base64.b64encode(_url().encode()).decode()}
    server = {
        "gpu": {"count": 1},
        "weightsRef": {"name": NAME},
        "sizing": {"maxModelLen": 2048},
        "engine": {"device": "cpu", "image": VLLM_IMAGE, "enforceEager": True},
        "runtimeClassName": RUNTIME_CLASS,
    }
    meta = {"meta": {"urlSecretRef": {"name": COMING}}}
    return [
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": COMING}, "data": mail},
        _custom("LlamaWeights", COMING, model="llama-3.1-8b", source=meta),
        _custom("LlamaWeights", NAME, fetch={"maxBytesPerSecond": BYTES_PER_SECOND}),
        _custom("LlamaDeployment", NAME, **server),
        _custom("LlamaDeployment", BROKEN, **server, auth={"secretName": "nobody-made-it"}),
    ]


def _url() -> str:
    """Of an e-mail whose server is not there: when it ends is in itself."""
    meta = MetaHub({}, tls=ssl.create_default_context())
    meta.port = 9
    return meta.signed()


def _custom(kind: str, name: str, **spec: Any) -> Object:
    return {
        "apiVersion": "llamactl.dev/v1alpha1",
        "kind": kind,
        "metadata": {"name": name},
        "spec": {"model": SMOLLM2, **spec},
    }


def _apply(stack: Stack, *objects: Object) -> None:
    items = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
    stack.cluster.kubectl("apply", "-n", NAMESPACE, "-f", "-", input=json.dumps(items))


def test_each_panel_shows_something_and_those_that_may_not_are_listed(
    stack: Stack, prometheus: Prometheus, world: float, capsys: pytest.CaptureFixture[str]
) -> None:
    settles(stack, NAME, "Ready", "Published", 180)
    stack.cluster.kubectl(
        "wait", "-n", NAMESPACE, "--for=condition=Ready", "--timeout=300s", f"llama/{NAME}",
        timeout=310,
    )  # fmt: skip
    wait_for(lambda: _observed(stack), 60, "what vLLM has told of its start")
    _traffic(stack)
    time.sleep(2 * SCRAPE_SECONDS)
    window = Window(world, time.time(), SCRAPE_SECONDS)
    sights = [look(prometheus, each, window, {"name": NAME} if one else {}) for one, each in _all()]
    with capsys.disabled():
        print(f"\n\n{panels.table(sights)}\n")
    problems = [problem for sight in sights for problem in sight.problems]
    assert not problems, "\n".join(problems)
    _only_operators_are_shown_as_such(stack, sights[-1])
    _scraped_as_the_chart_says(stack, prometheus, window)
    _alerts_read_what_is_there(prometheus, window)


def _all() -> list[tuple[bool, Any]]:
    """Each dashboard, and whether it is about one deployment."""
    return [(each.uid == "llama-deployment", each) for each in ALL]


def _observed(stack: Stack) -> bool:
    status = stack.get("llama", NAME, NAMESPACE)["status"]
    return "kvTokens" in status.get("observed", {}) and "coldStart" in status


def _traffic(stack: Stack) -> None:
    """One request without a key, and ten seconds of the same question, from four at once."""
    key = api_key(stack.get("secret", f"{NAME}-api-key", NAMESPACE))
    until = time.monotonic() + 10
    with forwarded(stack.cluster.kubeconfig, f"svc/{NAME}", 8000, NAMESPACE) as port:

        def talk(number: int) -> int:
            told = 0
            while time.monotonic() < until:
                told += len(ask(port, key, SMOLLM2, f"Count to {number + 10}.", max_tokens=24))
            return told

        # First, so that it is scraped more than once: a rate needs two samples.
        with pytest.raises(urllib.error.HTTPError, match="401"):
            urllib.request.urlopen(f"http://127.0.0.1:{port}/v1/models", timeout=10)
        with ThreadPoolExecutor(4) as callers:
            assert all(callers.map(talk, range(4)))


def _only_operators_are_shown_as_such(stack: Stack, sight: Sight) -> None:
    """vLLM shows its memory under the same name."""
    (memory,) = [each for each in sight.panels if each.title == "Memory"]
    pods = {series.labels["pod"] for answer in memory.answers for series in answer.series}
    assert pods == {pod for _, pod in addresses(stack)}


def _scraped_as_the_chart_says(stack: Stack, prometheus: Prometheus, window: Window) -> None:
    """The labels that alerts and dashboards join by, on what the monitors select and nothing else."""
    pod = stack.list("pods", NAMESPACE, "-l", f"llamactl.dev/deployment={NAME}")[0]["metadata"]
    (up,) = prometheus.instant('up{endpoint="http"}', window.end)
    named = {label: up.labels[label] for label in ("namespace", "name", "pod", "container")}
    assert named == {
        "namespace": NAMESPACE, "name": NAME, "pod": pod["name"], "container": "engine",
    }  # fmt: skip
    jobs = prometheus.label_values("llama_weights_phase", "name", window.start, window.end)
    assert NAME in jobs
    (ready,) = prometheus.instant(f'llama_operator_ready{{name="{NAME}"}}', window.end)
    assert ready.labels["namespace"] == NAMESPACE, "and not exported_namespace"
    assert ready.values == (1.0,)


def _alerts_read_what_is_there(prometheus: Prometheus, window: Window) -> None:
    """Real series under the names of the rules; one deployment is known to be broken, and only it."""
    groups = [group for path in RULES for group in yaml.safe_load(path.read_text())["groups"]]
    read = {name for group in groups for rule in group["rules"] for name in metrics(rule["expr"])}
    there = set(prometheus.get("label/__name__/values", {}))
    assert read <= there, f"no series {sorted(read - there)}"
    missing = f'ALERTS{{alertname="LlamaSecretMissing", name="{BROKEN}"}}'
    assert prometheus.instant(missing, window.end)
    # A busy machine is late with first tokens, and that alert is right then.
    others = f'ALERTS{{name="{NAME}", alertname!="LlamaFirstTokenObjectiveBurnt"}}'
    assert not prometheus.instant(others, window.end), "it serves"

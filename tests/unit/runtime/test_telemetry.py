from __future__ import annotations

import asyncio
import io
import json
import logging
from collections.abc import AsyncIterator, Iterator

import aiohttp
import pytest
import pytest_asyncio
from tests.unit.runtime.fake_api import FakeApi
from tests.unit.runtime.helpers import THINGS, Running, eventually

from llama_operator.config import Config
from llama_operator.process import LEASE, build, start_logs
from llama_operator.runtime import Controller, Key, Result, WorkQueue
from llama_operator.runtime.ondemand import OnDemand
from llama_operator.telemetry.health import HealthServer
from llama_operator.telemetry.logs import JsonFormatter, redact, setup
from llama_operator.telemetry.metrics import Metrics


def value(metrics: Metrics, metric: str, /, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(metric, labels)


async def test_a_wired_runtime_fills_the_well_known_names(server: FakeApi) -> None:
    metrics = Metrics()
    api = server.api(hooks=metrics.api)
    await api.list(THINGS)

    async def reconcile(key: Key) -> Result:
        if key.name == "bad":
            raise ValueError("bad")
        return Result()

    controller = Controller("c", reconcile, hooks=metrics.controller, queue_hooks=metrics.queue)
    metrics.queue.observe(controller.queue)
    async with Running(controller.run()):
        controller.queue.add(Key("ns", "good"))
        controller.queue.add(Key("ns", "bad"))
        await eventually(
            lambda: (value(metrics, "reconcile_errors_total", controller="c") or 0) > 2
        )
    await api.close()
    assert value(metrics, "reconcile_total", controller="c", result="success") == 1
    assert value(metrics, "rest_client_requests_total", verb="list", resource="things", code="200")
    assert (value(metrics, "workqueue_retries_total", name="c") or 0) > 2
    assert (value(metrics, "workqueue_adds_total", name="c") or 0) > 3
    assert value(metrics, "workqueue_depth", name="c") == 0
    text = metrics.render().decode()
    for name in (
        "workqueue_queue_duration_seconds_bucket",
        "workqueue_work_duration_seconds_bucket",
        "workqueue_unfinished_work_seconds",
        "workqueue_longest_running_processor_seconds",
        "reconcile_time_seconds_bucket",
        "reconcile_active_workers",
        "process_cpu_seconds_total",
    ):
        assert name in text


def test_transport_failures_are_no_reconcile_errors() -> None:
    metrics = Metrics()
    metrics.controller.reconciled("c", "transport_error", 0.1)
    metrics.controller.reconciled("c", "terminal_error", 0.1)
    assert value(metrics, "reconcile_errors_total", controller="c") == 1
    assert value(metrics, "reconcile_total", controller="c", result="transport_error") == 1


def test_two_processes_in_one_test_do_not_add_up() -> None:
    one, two = Metrics(), Metrics()
    one.leader.leading("op", True)
    assert value(one, "leader_election_master_status", name="op") == 1
    assert value(two, "leader_election_master_status", name="op") is None


def test_a_process_that_runs_says_its_version() -> None:
    assert value(Metrics("1.2.3"), "llama_operator_build_info", version="1.2.3") == 1


def test_depth_is_read_when_asked() -> None:
    metrics = Metrics()
    queue: WorkQueue[str] = WorkQueue("q")
    metrics.queue.observe(queue)
    queue.add("a")
    queue.add("b")
    assert value(metrics, "workqueue_depth", name="q") == 2


def test_counters_are_there_before_they_count() -> None:
    """Else Prometheus' `increase` misses the first error."""
    metrics = Metrics()
    metrics.queue.observe(WorkQueue[str]("q"))
    metrics.controller.known("c")
    assert value(metrics, "workqueue_adds_total", name="q") == 0
    assert value(metrics, "workqueue_retries_total", name="q") == 0
    assert value(metrics, "reconcile_errors_total", controller="c") == 0


class Checks:
    def __init__(self) -> None:
        self.synced = False

    def broken(self) -> bool:
        raise RuntimeError("broken")


@pytest_asyncio.fixture
async def health() -> AsyncIterator[tuple[HealthServer, Checks]]:
    checks = Checks()
    ready = {"caches": lambda: checks.synced}
    server = HealthServer(ready, lambda: b"metric 1\n", host="127.0.0.1", port=0)
    await server.start()
    yield server, checks
    await server.stop()


async def fetch(server: HealthServer, path: str) -> tuple[int, str]:
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{server.port}{path}") as answer,
    ):
        return answer.status, await answer.text()


async def test_alive_is_not_ready(health: tuple[HealthServer, Checks]) -> None:
    server, checks = health
    assert await fetch(server, "/healthz") == (200, "ok\n")
    assert await fetch(server, "/readyz") == (503, "not ready: caches\n")
    checks.synced = True
    assert await fetch(server, "/readyz") == (200, "ok\n")
    assert await fetch(server, "/metrics") == (200, "metric 1\n")
    assert (await fetch(server, "/"))[0] == 404


async def test_a_check_that_raises_is_not_ready() -> None:
    server = HealthServer({"x": Checks().broken}, lambda: b"", host="127.0.0.1", port=0)
    await server.start()
    assert (await fetch(server, "/readyz"))[0] == 503
    await server.stop()


SECRETS = [
    "Authorization: Bearer abcdefghijk.lmnop",
    "Authorization: Basic dXNlcjpwYXNzd29yZA==",
    "token hf_abcdefghijklmnopqrstuvwxyz is bad",
    "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJzYSJ9.c2lnbmF0dXJl expired",
    "GET https://download.llamameta.net/x?Policy=abc123&Signature=def456&Key-Pair-Id=K3",
    "https://user:hunter2hunter2@proxy:3128",
    "HF_TOKEN=verysecretvalue",
    '{"api_key": "verysecretvalue"}',
]


@pytest.mark.parametrize("text", SECRETS)
def test_credentials_are_taken_out(text: str) -> None:
    shown = redact(text)
    for secret in (
        "abcdefghijk",
        "dXNlcjpw",
        "hf_abc",
        "eyJhbGci",
        "c2lnbmF0",
        "abc123",
        "def456",
        "hunter2",
        "verysecret",
    ):
        assert secret not in shown
    assert "***" in shown


@pytest.mark.parametrize(
    "text",
    [
        "Secret ns/hf-credentials has no key token",
        "max tokens: 131072000 and kv_tokens=9000000000",
        "https://huggingface.co/api/models/meta-llama/Llama-3.1-8B",
        "commit 0123456789abcdef0123456789abcdef01234567",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert redact(text) == text


@pytest.fixture
def clean_logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.mark.usefixtures("clean_logging")
@pytest.mark.parametrize("style", ["json", "text"])
def test_no_secret_reaches_the_stream_by_message_extra_or_traceback(style: str) -> None:
    stream = io.StringIO()
    setup("json" if style == "json" else "text", "info", stream)
    log = logging.getLogger("test")
    try:
        raise ValueError("Bearer verysecretvalue")
    except ValueError:
        log.exception("call with %s", "Bearer verysecretvalue", extra={"h": "hf_verysecretvalue"})
    log.debug("not shown")
    text = stream.getvalue()
    assert "verysecret" not in text
    assert "ValueError" in text
    assert "not shown" not in text


def test_json_lines_parse_and_keep_extras() -> None:
    record = logging.makeLogRecord(
        {"name": "n", "levelno": 30, "levelname": "WARNING", "msg": "a %s", "args": ("b",)}
    )
    record.namespace = "ns"
    record.seconds = 1.5
    entry = json.loads(JsonFormatter().format(record))
    assert entry["msg"] == "a b"
    assert (entry["level"], entry["namespace"], entry["seconds"]) == ("warning", "ns", 1.5)


async def test_a_standby_shows_that_it_does_not_lead(server: FakeApi) -> None:
    metrics = Metrics()
    api = server.api()
    build(Config(), api, metrics)
    await api.close()
    assert value(metrics, "leader_election_master_status", name=LEASE) == 0


async def test_every_cache_is_counted(server: FakeApi) -> None:
    """The played server knows none of our kinds, so that all of them fail."""
    metrics = Metrics()
    api = server.api()
    manager = build(Config(leader_election=False), api, metrics)

    def counted() -> set[str]:
        families = {family.name: family for family in metrics.registry.collect()}
        samples = [*families["informer_failures"].samples, *families["informer_lists"].samples]
        return {each.labels["resource"] for each in samples}

    async with Running(manager.run(asyncio.Event())):
        # Definitions of optional kinds are of one resource.
        asking = (each for each in manager.informers if not isinstance(each, OnDemand))
        known = {str(each.resource) for each in asking}
        await eventually(lambda: counted() == known)
    await api.close()
    assert "llamadeployments.llamactl.dev" in counted()


@pytest.mark.usefixtures("clean_logging")
async def test_json_lines_of_a_reconcile_say_which_object_they_are_about() -> None:
    stream = io.StringIO()
    handler = start_logs(Config())
    assert isinstance(handler, logging.StreamHandler)
    handler.setStream(stream)
    inside = logging.getLogger("somewhere.below")

    async def reconcile(key: Key) -> Result:
        inside.info("begins")
        await asyncio.sleep(0.01)  # the other worker is at the other object meanwhile
        await asyncio.to_thread(inside.info, "in a thread")
        raise ValueError("it fails")

    controller = Controller("llamadeployment", reconcile, 2)
    async with Running(controller.run()):
        for name in ("one", "two"):
            controller.queue.add(Key("ml", name))
        await eventually(lambda: stream.getvalue().count("will retry") == 2)
    inside.info("outside")
    entries = [json.loads(line) for line in stream.getvalue().splitlines()]
    for name in ("one", "two"):
        said = [each["msg"] for each in entries if each.get("name") == name]
        assert said[:2] == ["begins", "in a thread"]
        assert said[2] == f"llamadeployment ml/{name}: will retry: it fails"
    about = [each for each in entries if "name" in each]
    assert {(each["controller"], each["namespace"]) for each in about} == {
        ("llamadeployment", "ml")
    }
    assert [each["msg"] for each in entries if "name" not in each] == ["outside"]

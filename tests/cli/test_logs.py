"""`llamactl logs`: every container of a deployment, prefixed, at once or as it grows."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from llamactl import logtail
from llamactl.kube import Kube
from llamactl.kubeconfig import connect
from llamactl.podruns import Run as PodRun
from llamactl.podruns import runs
from llamactl.settings import Settings
from tests.cli.conftest import DEPLOYMENTS, PODS, Run
from tests.cli.fake_api import Answer, Fake, status
from tests.cli.objects import deployment, pod

Object = dict[str, Any]
MINE = f"{DEPLOYMENTS}/my-llama"


def running(name: str, container: str = "server", restarts: int = 0, made: str = "1") -> Object:
    found = pod(name)
    found["metadata"] |= {"uid": name, "creationTimestamp": f"2026-11-24T03:00:0{made}Z"}
    found["spec"]["containers"] = [{"name": container}]
    found["status"]["containerStatuses"] = [
        {"name": container, "restartCount": restarts, "state": {"running": {}}}
    ]
    return found


class Logs:
    """The logs of containers by "pod/container"; `asked` has the queries."""

    def __init__(self, fake: Fake, **texts: str) -> None:
        self.texts = texts
        self.asked: list[str] = []
        fake.rules.insert(0, self.rule)

    def rule(self, fake: Fake, *call: Any) -> Answer | None:
        path = str(call[1])
        if "labelSelector=llamactl.dev%2Fweights" in fake.asked[-1][1]:
            return 200, {"metadata": {}, "items": self.of(fake, "fetch")}
        if "labelSelector=llamactl.dev%2Fdeployment" in fake.asked[-1][1] and path == PODS:
            return 200, {"metadata": {}, "items": self.of(fake, "my-llama")}
        if not path.endswith("/log"):
            return None
        self.asked.append(fake.asked[-1][1])
        text = self.texts.get(path.split("/")[-2].replace("-", "_"))
        return (200, text) if text is not None else (404, status(404, "NotFound", "gone"))

    def of(self, fake: Fake, start: str) -> list[Object]:
        return [o for p, o in fake.objects.items() if p.startswith(f"{PODS}/{start}")]


@pytest.fixture
def two(api: Fake) -> Fake:
    """Two servers and a fetch Job."""
    api.put(MINE, deployment(status={"weights": {"name": "w"}}))
    api.put(f"{PODS}/my-llama-b", running("my-llama-b", made="3"))
    api.put(f"{PODS}/my-llama-a", running("my-llama-a", made="2"))
    api.put(f"{PODS}/fetch-x", running("fetch-x", "fetch", made="1"))
    return api


TEXTS = {"my_llama_a": "one\ntwo\n", "my_llama_b": "three", "fetch_x": "bytes\n"}


def test_every_container_is_printed_with_its_name(llamactl: Run, two: Fake) -> None:
    logs = Logs(two, **TEXTS)
    result = llamactl("logs", "my-llama")
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "[pod/fetch-x/fetch] bytes",
        "[pod/my-llama-a/server] one",
        "[pod/my-llama-a/server] two",
        "[pod/my-llama-b/server] three",
    ]
    assert all("tailLines=100" in query for query in logs.asked)


def test_weights_are_the_jobs_alone(llamactl: Run, two: Fake) -> None:
    Logs(two, **TEXTS)
    assert llamactl("logs", "my-llama", "--weights").stdout == "[pod/fetch-x/fetch] bytes\n"


@pytest.mark.parametrize(
    ("tail", "query"), [("7", "tailLines=7"), ("-1", ""), ("0", "tailLines=0")]
)
def test_tail(llamactl: Run, two: Fake, tail: str, query: str) -> None:
    logs = Logs(two, **TEXTS)
    llamactl("logs", "my-llama", "--tail", tail)
    assert ("tailLines" in logs.asked[0]) == bool(query)
    assert query in logs.asked[0]


def test_previous_is_asked_only_of_what_was_started_again(llamactl: Run, two: Fake) -> None:
    two.put(f"{PODS}/my-llama-a", running("my-llama-a", restarts=2))
    logs = Logs(two, **TEXTS)
    result = llamactl("logs", "my-llama", "--previous")
    assert result.stdout == "[pod/my-llama-a/server] one\n[pod/my-llama-a/server] two\n"
    assert len(logs.asked) == 1
    assert "previous=true" in logs.asked[0]
    assert "[pod/my-llama-b/server] has not been started again" in result.stderr


def test_what_has_no_log_is_remarked_and_the_rest_is_printed(llamactl: Run, two: Fake) -> None:
    two.objects[f"{PODS}/my-llama-b"]["status"]["containerStatuses"][0]["state"] = {
        "waiting": {"reason": "PodInitializing"}
    }
    Logs(two, fetch_x="bytes")
    result = llamactl("logs", "my-llama")
    assert result.exit_code == 0
    assert result.stdout == "[pod/fetch-x/fetch] bytes\n"
    assert "[pod/my-llama-b/server] has not started yet" in result.stderr
    assert 'no Pod "my-llama-a"' in result.stderr


def test_a_log_that_may_not_be_read_names_the_rule(llamactl: Run, two: Fake) -> None:
    Logs(two, **TEXTS)
    refusal = status(403, "Forbidden", 'User "u" cannot get resource "pods/log"')
    two.rules.insert(0, lambda *call: (403, refusal) if call[2].endswith("/log") else None)
    result = llamactl("logs", "my-llama", "--weights")
    assert result.stdout == ""
    assert "resources: [pods/log], verbs: [get]" in result.stderr


def test_the_output_is_what_doctor_reads(llamactl: Run, two: Fake) -> None:
    Logs(two, my_llama_a="ValueError: No valid attention backend found for cuda", fetch_x="",
         my_llama_b="")  # fmt: skip
    text = llamactl("logs", "my-llama").stdout
    verdict = llamactl("doctor", "--log", "-", "-o", "json", input=text).stdout
    assert '"cause": "AttentionUnsupported"' in verdict


def test_without_pods_it_says_so_and_what_to_look_at(llamactl: Run, api: Fake) -> None:
    api.put(MINE, deployment())
    result = llamactl("logs", "my-llama")
    assert result.exit_code == 1
    assert "it has no pods at present" in result.stderr
    assert "llamactl status my-llama" in result.stderr
    assert llamactl("logs", "my-lama").exit_code == 1


def test_following_the_past_is_wrong_usage(llamactl: Run) -> None:
    assert llamactl("logs", "x", "-f", "--previous").exit_code == 2
    assert llamactl("logs", "x", "--tail", "-2").exit_code == 2


def test_runs_know_init_containers_and_restarts() -> None:
    found = running("a", restarts=2)
    found["spec"]["initContainers"] = [{"name": "prepare"}]
    assert runs([found]) == [
        PodRun("a", "prepare", "a", 0, begun=False),
        PodRun("a", "server", "a", 2, begun=True),
    ]


# -- following ----------------------------------------------------------------------------------


@pytest.fixture
def kube(two: Fake) -> Kube:
    settings = Settings()
    return Kube(connect(settings), settings)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logtail, "EVERY_SECONDS", 0.2)


def test_following_takes_restarts_and_new_pods_and_ends_with_the_deployment(
    kube: Kube, two: Fake
) -> None:
    logs = Logs(two, a="first", b="second")
    one, two_, other = PodRun("a", "s", "a"), PodRun("a", "s", "a", 1), PodRun("b", "s", "b")
    waits = PodRun("c", "s", "c", begun=False)
    looks: Iterator[list[PodRun] | None] = iter([[one, waits], [two_, waits], [two_, other], None])
    lines = list(logtail.follow(kube, lambda: next(looks), {"tailLines": "5"}))
    assert sorted((each.run.pod, each.run.number, each.text) for each in lines) == [
        ("a", 0, "first"),
        ("a", 1, "first"),
        ("b", 0, "second"),
    ]
    assert all("follow=true" in query for query in logs.asked)
    # What began before is cut to its tail; of what begins later no line is lost.
    assert ["tailLines=5" in query for query in logs.asked] == [True, False, False]


def test_lines_are_shown_while_the_stream_goes_on(
    kube: Kube, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = threading.Event()

    def lines(*_: object, **__: object) -> Iterator[bytes]:
        yield b"at once"
        gate.wait(10)
        yield b"late"

    monkeypatch.setattr("llamactl.podlog.lines", lines)
    stream = logtail.follow(kube, lambda: [PodRun("a", "s", "a")], {})
    assert next(stream).text == "at once"
    gate.set()
    assert next(stream).text == "late"


def test_a_stream_that_breaks_is_remarked(kube: Kube, monkeypatch: pytest.MonkeyPatch) -> None:
    def lines(*_: object, **__: object) -> Iterator[bytes]:
        yield b"a"
        raise ConnectionResetError("reset by peer")

    monkeypatch.setattr("llamactl.podlog.lines", lines)
    stream = logtail.follow(kube, lambda: [PodRun("a", "s", "a")], {})
    assert next(stream).text == "a"
    remark = next(stream)
    assert (remark.note, "reset by peer" in remark.text) == (True, True)


def test_an_api_server_that_is_away_for_a_moment_ends_nothing(kube: Kube) -> None:
    from llamactl.api_errors import UnreachableError

    answers: list[Any] = [[], UnreachableError("x", "y", Settings()), None]

    def look() -> list[PodRun] | None:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer  # type: ignore[no-any-return]

    assert list(logtail.follow(kube, look, {})) == []
    assert answers == []

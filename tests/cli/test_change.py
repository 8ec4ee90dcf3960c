"""scale and set: what is sent, what is said to follow, and what is refused."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from llamactl import changing, restarts
from tests.cli.conftest import DEPLOYMENTS, Run
from tests.cli.fake_api import Answer, Fake, status
from tests.cli.objects import ready
from tests.cli.patching import merged, takes_patches, writes

MINE = f"{DEPLOYMENTS}/my-llama"


@pytest.fixture(autouse=True)
def _served(api: Fake) -> None:
    api.rules.append(takes_patches)
    api.put(MINE, ready(spec={"replicas": 2, "gpu": {"count": 8}}))


def spec(api: Fake) -> dict[str, Any]:
    found: dict[str, Any] = api.objects[MINE]["spec"]
    return found


# -- scale ----------------------------------------------------------------------------------------


def test_scale_writes_the_subresource_alone(llamactl: Run, api: Fake) -> None:
    result = llamactl("scale", "my-llama", "--replicas", 4)
    assert result.exit_code == 0, result.output
    assert result.stdout == "llamadeployment.llamactl.dev/my-llama scaled from 2 to 4\n"
    assert "2 servers more start; those that run go on." in result.stderr
    assert "They ask for 16 x NVIDIA-H100-80GB-HBM3 in all." in result.stderr
    assert writes(api) == [f"{MINE}/scale"]
    assert spec(api)["replicas"] == 4


def test_scale_says_who_may_change_it_again(llamactl: Run, api: Fake) -> None:
    obj = api.objects[MINE]
    obj["spec"]["autoscaling"] = {"minReplicas": 0, "maxReplicas": 3}
    result = llamactl("scale", "my-llama", "--replicas", 4)
    assert "spec.autoscaling may change that again, between 0 and 3." in result.stderr


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (1, "1 server stops after the requests that run."),
        (0, "2 servers stop after the requests that run; nothing answers until it is scaled up."),
    ],
)
def test_scale_down_says_what_stops(llamactl: Run, api: Fake, count: int, words: str) -> None:
    result = llamactl("scale", "my-llama", "--replicas", count)
    assert words in result.stderr
    assert "ask for" not in result.stderr
    assert spec(api)["replicas"] == count


def test_the_same_count_writes_nothing(llamactl: Run, api: Fake) -> None:
    result = llamactl("scale", "my-llama", "--replicas", 2)
    assert result.stdout.endswith(" unchanged\n")
    assert writes(api) == []


@pytest.mark.parametrize("args", [["scale", "my-llama", "--replicas", "4"],
                                  ["set", "my-llama", "replicas=4"]])  # fmt: skip
def test_a_dry_run_writes_nothing(llamactl: Run, api: Fake, args: list[str]) -> None:
    result = llamactl(*args, "--dry-run=server", "-o", "json")
    assert json.loads(result.stdout)["spec"]["replicas"] == 4
    assert writes(api) == []
    assert spec(api)["replicas"] == 2


@pytest.mark.parametrize("text", ["-1", "10001", "x"])
def test_replicas_out_of_range_are_wrong_usage(llamactl: Run, api: Fake, text: str) -> None:
    assert llamactl("scale", "my-llama", f"--replicas={text}").exit_code == 2
    assert api.asked == []


def test_scale_without_the_right_names_the_subresource(llamactl: Run, api: Fake) -> None:
    def refuse(_: Fake, method: str, __: str, ___: dict[str, Any]) -> Answer | None:
        message = 'llamadeployments.llamactl.dev "x" is forbidden: User "u" cannot patch resource'
        return (403, status(403, "Forbidden", message)) if method == "PATCH" else None

    api.rules.insert(0, refuse)
    result = llamactl("scale", "my-llama", "--replicas", 3)
    assert result.exit_code == 1
    assert "resources: [llamadeployments/scale], verbs: [patch]" in result.stderr


def test_scale_waits_for_the_new_count(llamactl: Run, api: Fake) -> None:
    # The condition of the old generation must not end the wait.
    api.objects[MINE]["status"]["conditions"] = [
        {**each, "observedGeneration": 1} for each in api.objects[MINE]["status"]["conditions"]
    ]
    result = llamactl("scale", "my-llama", "--replicas", 3, "--wait", "--timeout", "0s")
    assert result.exit_code == 3
    assert "not ready after" in result.stderr


# -- set ------------------------------------------------------------------------------------------


def test_set_shows_the_difference_and_sends_only_that(llamactl: Run, api: Fake) -> None:
    bodies: list[dict[str, Any]] = []
    api.rules.insert(
        0, lambda _, method, __, body: bodies.append(body) if method != "GET" else None
    )
    api.objects[MINE]["metadata"]["resourceVersion"] = "41"
    result = llamactl("set", "my-llama", "sizing.maxModelLen=16384", "gpu.count-")
    assert result.exit_code == 0, result.output
    assert result.stdout == "llamadeployment.llamactl.dev/my-llama changed\n"
    assert "  spec.gpu.count: 8 -> not set\n" in result.stderr
    assert "  spec.sizing: not set -> " in result.stderr
    assert "All 2 servers restart, one after another" in result.stderr
    sent = {"gpu": {"count": None}, "sizing": {"maxModelLen": 16384}}
    assert bodies == [{"metadata": {"resourceVersion": "41"}, "spec": sent}] * 2
    assert spec(api)["sizing"] == {"maxModelLen": 16384}
    assert spec(api)["gpu"] == {}


def test_set_of_what_is_so_already_changes_nothing(llamactl: Run, api: Fake) -> None:
    result = llamactl("set", "my-llama", "gpu.count=8")
    assert result.stdout.endswith(" unchanged\n")
    assert writes(api) == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("gpu.counts=1", "FIELD gpu.counts: spec.gpu has no field 'counts'. There is count"),
        ("gpu.counts-", "FIELD gpu.counts: spec.gpu has no field 'counts'"),
        ("gpu.count=x", "FIELD gpu.count: 'x' is not of type integer"),
        ("gpu.count", "'gpu.count' has no ="),
        ("engine.args[0]-", "an item of a list cannot be taken out"),
    ],
)
def test_a_wrong_field_is_refused_at_once(llamactl: Run, api: Fake, text: str, words: str) -> None:
    result = llamactl("set", "my-llama", text)
    assert result.exit_code == 2
    assert words in result.stderr.replace("\n", " ")
    assert writes(api) == []


def test_one_field_twice_is_wrong_usage(llamactl: Run, api: Fake) -> None:
    result = llamactl("set", "my-llama", "gpu.count=1", "gpu.count-")
    assert result.exit_code == 2
    assert "FIELD gpu.count: it is given twice" in result.stderr
    assert api.asked == []


def test_the_servers_refusal_changes_nothing(llamactl: Run, api: Fake) -> None:
    cause = {"field": "spec.gpu", "message": 'Invalid value: "object": spec.gpu.count: too many'}

    def refuse(_: Fake, method: str, __: str, ___: dict[str, Any]) -> Answer | None:
        answer = status(422, "Invalid", "x is invalid", causes=[cause])
        return (422, answer) if method == "PATCH" else None

    api.rules.insert(0, refuse)
    result = llamactl("set", "my-llama", "gpu.count=3")
    assert result.exit_code == 1
    assert "spec.gpu.count: too many. \nNothing was changed" in result.stderr.replace(".\n", ". \n")
    assert writes(api) == []


def test_a_paused_deployment_says_how_to_go_on(llamactl: Run, api: Fake) -> None:
    result = llamactl("set", "my-llama", "paused=true")
    assert "my-llama is paused: nothing happens until" in result.stderr
    assert "llamactl set my-llama paused=false" in result.stderr


# -- what follows ---------------------------------------------------------------------------------

BASE: dict[str, Any] = {"model": "llama-3.1-8b-instruct", "replicas": 2}


@pytest.mark.parametrize(
    ("after", "words"),
    [
        ({"retention": {"policy": "Retain"}}, "No server restarts."),
        ({"disruption": {"maxUnavailable": 2}}, "No server restarts."),
        ({"endpoint": {"port": 8000}}, "No server restarts."),  # a default, written out
        ({"endpoint": {"port": 9000}}, "All 2 servers restart"),
        ({"auth": {"secretName": "mine"}}, "All 2 servers restart"),
        ({"replicas": 1, "engine": {"args": ["--seed=1"]}}, "The server restarts, and nothing"),
        ({"model": "llama-3.2-1b"}, "Other weights (llama-3-2-1b-"),
        ({"source": {"huggingFace": {"repo": "a/b"}}}, "Other weights (llama-3-1-8b-instruct-"),
        ({"replicas": 0, "gpu": {"count": 2}}, "2 servers stop"),
        ({"paused": True, "gpu": {"count": 2}}, "paused: nothing happens"),
    ],
)
def test_verdicts_follow_the_operators_rule(after: dict[str, Any], words: str) -> None:
    assert words in restarts.verdict(BASE, {**BASE, **after}, "x")


def test_a_spec_of_newer_crds_is_judged_as_far_as_it_is_known() -> None:
    newer = {**BASE, "engine": {"device": "tpu"}}
    words = restarts.verdict(newer, {**newer, "replicas": 3}, "x")
    assert "not known" in words
    assert "1 server more starts" in words


def test_resuming_says_that_changes_take_effect() -> None:
    assert "takes effect now" in restarts.verdict({**BASE, "paused": True}, BASE, "x")


def test_merge_patches_lead_from_one_to_the_other() -> None:
    def made(depth: int) -> Any:
        kinds = [1, "a", [1, {"x": 2}], True]
        if depth and draw.random() < 0.6:
            return {draw.choice("abc"): made(depth - 1) for _ in range(3)}
        return draw.choice(kinds)

    draw = random.Random(7)  # noqa: S311 - the same values each time
    for _ in range(500):
        before, after = {"s": made(3)}, {"s": made(3)}
        assert merged(before, changing.merge_patch(before, after)) == after


# -- a canary -------------------------------------------------------------------------------------

TRIED: dict[str, Any] = {
    **BASE,
    "endpoint": {"httpRoute": {"parentRefs": [{"name": "public"}]}},
    "rollout": {"canaryPercent": 20},
}


@pytest.mark.parametrize(
    ("after", "words"),
    [
        (
            {"engine": {"args": ["--seed=1"]}},
            "gets 20 % of the requests of the HTTPRoute; the others",
        ),
        ({"rollout": {"canaryPercent": 50}}, "No server restarts."),
        ({"rollout": {}}, "If a canary is tried, all servers are replaced"),
        ({"rollout": {"canaryPercent": 100}}, "If a canary is tried, all servers are replaced"),
        ({"rollout": {}, "engine": {"args": ["--seed=1"]}}, "All 2 servers restart"),
        ({"rollout": {"canaryPercent": 20, "undoTo": "x-1"}}, "replaced by those of revision x-1"),
    ],
)
def test_a_canary_restarts_no_other_server(after: dict[str, Any], words: str) -> None:
    assert words in restarts.verdict(TRIED, {**TRIED, **after}, "x")

"""llamactl rollout: what is told of a rollout, of its revisions, and the way back."""

from __future__ import annotations

import json
from typing import Any

import pytest

from llamactl import history, restarts
from tests.cli.conftest import DEPLOYMENTS, WEIGHTS, Run
from tests.cli.fake_api import Fake
from tests.cli.objects import NOW, condition, ready
from tests.cli.patching import takes_patches, writes

MINE = f"{DEPLOYMENTS}/my-llama"
REVISIONS = "/apis/apps/v1/namespaces/n/controllerrevisions"
TOLD: dict[str, Any] = {
    "updatedReplicas": 1,
    "readyReplicas": 2,
    "rollout": {
        "strategy": "Surge",
        "freeGPUs": 2,
        "reason": "2 of 10 GPUs are free and a server needs 1: 2 new servers start before an old one "
        "stops",
    },
    "revision": {"update": "my-llama-b", "current": "my-llama-a", "lastGood": "my-llama-a"},
}


def revision(number: int, letter: str, *args: str, image: str = "vllm:1") -> dict[str, Any]:
    return {
        "metadata": {
            "name": f"my-llama-{letter}",
            "namespace": "n",
            "creationTimestamp": NOW,
            "labels": {
                "llamactl.dev/deployment": "my-llama",
                "app.kubernetes.io/component": "revision",
            },
        },
        "revision": number,
        "data": {
            "image": image,
            "plan": {"gpus": 8},
            "template": {"spec": {"containers": [{"args": ["--model", "/m", *args]}]}},
        },
    }


@pytest.fixture(autouse=True)
def _served(api: Fake) -> None:
    api.rules.append(takes_patches)
    serve(api)
    api.put(f"{REVISIONS}/my-llama-a", revision(1, "a"))
    api.put(f"{REVISIONS}/my-llama-b", revision(2, "b", "--seed", "1"))
    api.put(f"{REVISIONS}/my-llama-c", revision(3, "c", "--seed", "2", image="vllm:2"))


def serve(api: Fake, *conditions: dict[str, Any], **change: Any) -> None:
    obj = ready(spec={"replicas": 2, **change.pop("spec", {})})
    obj["status"] |= {**TOLD, **change}
    if conditions:
        obj["status"]["conditions"] = list(conditions)
    api.put(MINE, obj)


def spec(api: Fake) -> dict[str, Any]:
    found: dict[str, Any] = api.objects[MINE]["spec"]
    return found


# -- status ---------------------------------------------------------------------------------------


def test_status_says_how_and_how_far(llamactl: Run, api: Fake) -> None:
    serve(api, condition("Progressing", "True", "RollingOut", "Replicas are being replaced"))
    result = llamactl("rollout", "status", "my-llama")
    assert result.exit_code == 0, result.output
    for words in ("RollingOut", "1 of 2 replaced, 2 answer", "Surge", "my-llama-b", "2 of 10 GPUs"):
        assert words in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 100


def test_status_of_a_canary_says_its_share_and_how_to_go_on(llamactl: Run, api: Fake) -> None:
    why = "Canary: revision my-llama-b answers. For all servers: llamactl set my-llama x=0"
    serve(
        api,
        condition("Progressing", "True", "RollingOut", why),
        rollout={"strategy": "Canary", "reason": why},
        updatedReplicas=0,
    )
    result = llamactl("rollout", "status", "my-llama")
    assert result.exit_code == 0, result.output
    for words in ("Canary", "0 of 2 replaced, 2 answer", "For all servers: llamactl set my-llama"):
        assert words in result.stdout


def test_pods_of_a_canary_are_read_with_the_servers(llamactl: Run, api: Fake) -> None:
    serve(api)
    for words in (("status", "my-llama"), ("logs", "my-llama")):
        api.asked.clear()
        llamactl(*words)
        asked = [path for _, path in api.asked if "/pods" in path]
        assert any("in+%28server%2Ccanary%29" in path for path in asked), (words, asked)


@pytest.mark.parametrize("reason", ["RevisionRejected", "WaitingForGPUs", "StartupStalled"])
def test_what_stands_still_is_exit_1(llamactl: Run, api: Fake, reason: str) -> None:
    serve(api, condition("Progressing", "False", reason, "because"))
    result = llamactl("rollout", "status", "my-llama")
    assert (result.exit_code, reason in result.stdout) == (1, True)


def test_paused_is_no_failure(llamactl: Run, api: Fake) -> None:
    serve(api, condition("Progressing", "False", "Paused", "spec.paused is true"))
    assert llamactl("rollout", "status", "my-llama").exit_code == 0


def test_status_as_a_document(llamactl: Run) -> None:
    found = json.loads(llamactl("rollout", "status", "my-llama", "-o", "json").stdout)
    assert found["rollout"] == TOLD["rollout"]
    assert found["revision"]["lastGood"] == "my-llama-a"


def test_status_of_nothing_is_exit_1(llamactl: Run) -> None:
    result = llamactl("rollout", "status", "my-lama")
    assert result.exit_code == 1
    assert "Did you mean my-llama?" in result.stderr


# -- history --------------------------------------------------------------------------------------


def test_history_is_newest_first_with_what_changed(llamactl: Run) -> None:
    result = llamactl("rollout", "history", "my-llama")
    assert result.exit_code == 0, result.output
    _, third, second, first = result.stdout.splitlines()
    assert "vllm:2, --seed 2, without --seed 1" in third
    assert ("rolling" in second, "--seed 1" in second) == (True, True)
    assert ("answers" in first, "the oldest that is kept" in first) == (True, True)
    assert max(map(len, result.stdout.splitlines())) <= 100


def test_history_by_name_and_where_there_is_none(llamactl: Run, api: Fake) -> None:
    names = llamactl("rollout", "history", "my-llama", "-o", "name").stdout.split()
    assert names == ["my-llama-c", "my-llama-b", "my-llama-a"]
    api.rules.append(
        lambda _fake, _method, path, _body: (200, {"items": []}) if path == REVISIONS else None
    )
    result = llamactl("rollout", "history", "my-llama")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "no revision yet" in result.stderr


def test_a_change_beside_image_and_flags_is_said() -> None:
    assert "neither" in history.change(revision(1, "a"), revision(2, "b"))


# -- undo -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("to", "wanted"),
    [((), "my-llama-a"), (("--to", "3"), "my-llama-c"), (("--to", "my-llama-b"), "my-llama-b")],
)
def test_undo_sets_the_revision(llamactl: Run, api: Fake, to: tuple[str, ...], wanted: str) -> None:
    result = llamactl("rollout", "undo", "my-llama", *to)
    assert result.exit_code == 0, result.output
    assert spec(api)["rollout"] == {"undoTo": wanted}
    assert f"by those of revision {wanted}" in result.stderr


def test_history_names_the_one_that_is_tried(llamactl: Run, api: Fake) -> None:
    serve(api, rollout={"strategy": "Canary", "reason": "because"})
    _, _, second, first = llamactl("rollout", "history", "my-llama").stdout.splitlines()
    assert ("canary" in second, "answers" in first) == (True, True)


def test_undo_of_what_is_complete_takes_the_one_before(llamactl: Run, api: Fake) -> None:
    names = {"update": "my-llama-c", "current": "my-llama-c", "lastGood": "my-llama-c"}
    serve(api, revision=names)
    llamactl("rollout", "undo", "my-llama")
    assert spec(api)["rollout"] == {"undoTo": "my-llama-b"}


def test_undo_off_follows_the_spec_again(llamactl: Run, api: Fake) -> None:
    serve(api, spec={"rollout": {"undoTo": "my-llama-a"}})
    result = llamactl("rollout", "undo", "my-llama", "--off")
    assert result.exit_code == 0, result.output
    assert "undoTo" not in spec(api)["rollout"]
    assert "follow the spec again" in result.stderr


def test_a_dry_run_changes_nothing(llamactl: Run, api: Fake) -> None:
    result = llamactl("rollout", "undo", "my-llama", "--dry-run=server")
    assert result.exit_code == 0, result.output
    assert "rollout" not in spec(api)


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (("--to", "9"), 2, "kept: 3 (my-llama-c), 2 (my-llama-b) or 1 (my-llama-a)"),
        (("--to", "1", "--off"), 2, "Give --to or --off"),
    ],
)
def test_bad_input(llamactl: Run, api: Fake, args: tuple[str, ...], code: int, words: str) -> None:
    result = llamactl("rollout", "undo", "my-llama", *args)
    assert (result.exit_code, words in result.stderr) == (code, True), result.stderr
    assert writes(api) == []


def mounting(letter: str, path: str) -> dict[str, Any]:
    found = revision(1, letter)
    mounts = [{"name": "weights", "mountPath": "/models", "subPath": path}]
    found["data"]["template"]["spec"] = {
        "volumes": [{"name": "weights", "persistentVolumeClaim": {"claimName": "models"}}],
        "containers": [{"args": [], "volumeMounts": mounts}],
    }
    return found


def test_weights_of_the_target_that_were_removed_are_said_before_anything_changes(
    llamactl: Run, api: Fake
) -> None:
    api.put(f"{REVISIONS}/my-llama-a", mounting("a", "llama/1"))
    there = {"metadata": {"name": "w", "namespace": "n"}, "status": {"claimName": "models"}}
    there["status"]["path"] = "llama/2"
    api.put(f"{WEIGHTS}/w", there)
    result = llamactl("rollout", "undo", "my-llama", "--to", "my-llama-a")
    assert result.exit_code == 1
    assert "the weights of revision my-llama-a were removed" in result.stderr
    assert "set the spec as it was" in result.stderr
    assert writes(api) == []
    there["status"]["path"] = "llama/1"
    api.put(f"{WEIGHTS}/w", there)
    assert llamactl("rollout", "undo", "my-llama", "--to", "my-llama-a").exit_code == 0
    assert spec(api)["rollout"] == {"undoTo": "my-llama-a"}


def test_nothing_to_go_back_to(llamactl: Run, api: Fake) -> None:
    for letter in "ac":
        del api.objects[f"{REVISIONS}/my-llama-{letter}"]
    serve(api, revision={"update": "my-llama-b", "current": "my-llama-b"})
    result = llamactl("rollout", "undo", "my-llama")
    assert result.exit_code == 1
    assert "no earlier revision is kept" in result.stderr
    assert "llamactl rollout history my-llama" in result.stderr


def test_while_servers_are_held_no_other_field_is_said_to_restart_them() -> None:
    held = {"model": "llama-3.1-8b-instruct", "rollout": {"undoTo": "my-llama-a"}}
    words = restarts.verdict(held, {**held, "engine": {"args": ["--seed=1"]}}, "my-llama")
    assert "stay at revision my-llama-a" in words
    assert "llamactl rollout undo my-llama --off" in words

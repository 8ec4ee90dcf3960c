"""`llamactl doctor NAME`: the operator's verdict from what the API server shows, and the fix."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from llama_operator.diagnose import pods as operator
from llamactl import fixing, reality
from tests.cli.conftest import DEPLOYMENTS, PODS, WEIGHTS, Run
from tests.cli.fake_api import Answer, Fake, status
from tests.cli.objects import PLAN, condition, deployment, pod, ready, weights
from tests.unit.diagnose.samples import DATA
from tests.unit.diagnose.test_events import placed

LOG = (DATA / "recorded" / "kv-cache-too-small.log").read_text()
MINE = f"{DEPLOYMENTS}/my-llama"
EVENTS = "/api/v1/namespaces/n/events"
Object = dict[str, Any]


def crashed(name: str = "my-llama-0", **state: Any) -> Object:
    found = pod(name, is_ready=False)
    found["metadata"]["uid"] = f"uid-{name}"
    ended = {"exitCode": 1, "reason": "Error", "message": "no more than the end"}
    found["status"]["containerStatuses"] = [
        {"name": "server", "ready": False, "restartCount": 3,
         "lastState": {"terminated": ended}, "state": {"waiting": {"reason": "CrashLoopBackOff"}}},
    ]  # fmt: skip
    return found


def failing(**more: Any) -> Object:
    conditions = [
        condition("Ready", "False", "CrashLooping", observedGeneration=1),
        condition("Planned", "True", "Fits"),
        condition("WeightsReady", "True", "Ready"),
        condition("Degraded", "True", "InsufficientMemoryForContext", "said by the operator"),
    ]
    return deployment(conditions=conditions, status={"observedGeneration": 1, "plan": PLAN}, **more)


def log(text: str, asked: list[str] | None = None) -> Callable[..., Answer | None]:
    def rule(fake: Fake, method: str, path: str, body: Object) -> Answer | None:
        if not path.endswith("/log"):
            return None
        if asked is not None:
            asked.append(fake.asked[-1][1])
        return 200, text

    return rule


@pytest.fixture
def broken(api: Fake) -> Fake:
    api.put(MINE, failing())
    api.put(f"{PODS}/my-llama-0", crashed())
    api.rules.append(log(LOG))
    return api


def verdict(llamactl: Run, *args: object) -> tuple[int, Any]:
    result = llamactl("doctor", "my-llama", "-o", "json", *args)
    return result.exit_code, json.loads(result.stdout)


# -- what is wrong ------------------------------------------------------------------------------


def test_it_judges_the_log_as_the_operator_does(llamactl: Run, broken: Fake) -> None:
    code, found = verdict(llamactl)
    wanted = operator.worst([crashed()], {"uid-my-llama-0": LOG})
    assert wanted is not None
    assert code == 1
    assert list(found)[:4] == ["cause", "evidence", "explanation", "fix"]
    assert (found["cause"], found["explanation"]) == (wanted.reason, wanted.message)
    assert found["fix"] == {"spec": {"sizing": {"maxModelLen": 1920}}}
    assert found["evidence"] in LOG
    assert [each["object"] for each in found["findings"]] == ["Pod my-llama-0"]


def test_a_canary_is_judged_beside_servers_that_answer(llamactl: Run, api: Fake) -> None:
    api.put(MINE, ready(status={"observedGeneration": 1}))
    api.put(f"{PODS}/my-llama-0", pod())
    tried = crashed("my-llama-canary-0")
    tried["metadata"]["labels"]["app.kubernetes.io/component"] = "canary"
    api.put(f"{PODS}/my-llama-canary-0", tried)
    api.rules.append(log(LOG))
    code, found = verdict(llamactl)
    assert (code, found["cause"]) == (1, "InsufficientMemoryForContext")
    assert [each["object"] for each in found["findings"]] == ["Pod my-llama-canary-0"]
    assert found["fix"] == {"spec": {"sizing": {"maxModelLen": 1920}}}


def between_runs() -> Object:
    """As it was when the run had ended, and the next one had not begun."""
    found = crashed()
    (box,) = found["status"]["containerStatuses"]
    ended = box.pop("lastState")["terminated"]
    times = {"startedAt": "2026-11-28T10:00:00Z", "finishedAt": "2026-11-28T10:01:00Z"}
    box["state"] = {"terminated": {**ended, **times}}
    return found


@pytest.mark.parametrize("kept", [True, False])
def test_the_log_of_the_next_run_is_not_taken_for_that_of_the_one_that_ended(
    llamactl: Run, api: Fake, kept: bool
) -> None:
    before = "".join(f"2026-11-28T10:00:59Z {line}\n" for line in LOG.splitlines())
    gone = 400, status(400, "BadRequest", "previous terminated container not found")

    def rule(fake: Fake, _method: str, path: str, _body: object) -> Answer | None:
        if not path.endswith("/log"):
            return None
        if "previous=true" not in fake.asked[-1][1]:
            return 200, "2026-11-28T10:01:05Z INFO it starts"
        return (200, before) if kept else gone

    told = condition("Degraded", "True", "CrashLooping", "said by the operator")
    api.put(MINE, deployment(conditions=[told], status={"observedGeneration": 1, "plan": PLAN}))
    api.put(f"{PODS}/my-llama-0", between_runs())
    api.rules.append(rule)
    code, found = verdict(llamactl)
    assert (code, found["unread"]) == (1, [])
    wanted = operator.worst([crashed()], {"uid-my-llama-0": LOG if kept else ""})
    assert wanted is not None
    said = {each["object"]: (each["cause"], each["explanation"]) for each in found["findings"]}
    assert said["Pod my-llama-0"] == (wanted.reason, wanted.message)


def test_the_log_that_is_read_is_the_end_of_the_run_before(llamactl: Run, api: Fake) -> None:
    asked: list[str] = []
    api.put(MINE, failing())
    api.put(f"{PODS}/my-llama-0", crashed())
    api.rules.append(log(LOG, asked))
    verdict(llamactl)
    assert len(asked) == 1
    assert "/pods/my-llama-0/log?" in asked[0]
    for part in ("previous=true", "tailLines=400", "limitBytes=147456", "container=server"):
        assert part in asked[0]


def test_people_read_cause_meaning_patch_and_the_command(llamactl: Run, broken: Fake) -> None:
    result = llamactl("doctor", "my-llama", env={"COLUMNS": "90"})
    assert result.exit_code == 1
    assert result.stdout.startswith("my-llama: InsufficientMemoryForContext\n")
    assert re.search(r"^Patch: +spec.sizing.maxModelLen: 1920$", result.stdout, re.MULTILINE)
    assert "llamactl doctor my-llama --fix" in result.stderr
    assert max(map(len, result.stdout.splitlines())) <= 90


def test_a_healthy_deployment_is_healthy(llamactl: Run, api: Fake) -> None:
    api.put(MINE, ready(status={"observedGeneration": 1}))
    api.put(f"{PODS}/my-llama-0", pod())
    code, found = verdict(llamactl)
    assert (code, found["cause"], found["healthy"], found["ready"]) == (0, "Healthy", True, True)
    assert (found["fix"], found["findings"], found["unread"]) == ({}, [], [])
    assert "Healthy" in llamactl("doctor", "my-llama", "--fix").stdout
    assert not [call for call in api.asked if call[0] != "GET"]


def test_one_that_still_loads_is_not_called_sick(llamactl: Run, api: Fake) -> None:
    conditions = [
        condition("Ready", "False", "Pending", observedGeneration=1),
        condition("Planned", "True", "Fits"),
        condition("WeightsReady", "False", "Pending", "the copy is on its way"),
    ]
    state = {"observedGeneration": 1, "weights": {"name": "w"}}
    api.put(MINE, deployment(conditions=conditions, status=state))
    steps = [condition("Downloaded", "False", "Downloading", "bytes come")]
    api.put(f"{WEIGHTS}/w", weights("w", conditions=steps))
    code, found = verdict(llamactl)
    assert (code, found["healthy"], found["ready"]) == (0, True, False)
    assert "not ready yet" in llamactl("doctor", "my-llama").stdout


@pytest.mark.parametrize(
    ("kind", "reason"),
    [("Planned", "InsufficientGPUMemory"), ("Progressing", "StartupStalled"),
     ("Progressing", "Queued"), ("WeightsReady", "NotFound"), ("Degraded", "ObjectNotOwned")],
)  # fmt: skip
def test_a_condition_of_the_operator_is_a_finding(
    llamactl: Run, api: Fake, kind: str, reason: str
) -> None:
    state = "True" if kind == "Degraded" else "False"
    conditions = [condition("Ready", "False", reason), condition(kind, state, reason, "why")]
    api.put(MINE, deployment(conditions=conditions, status={"observedGeneration": 1}))
    code, found = verdict(llamactl)
    assert (code, found["cause"], found["explanation"]) == (1, reason, "why")


def test_a_job_in_a_queue_is_a_finding_though_nobody_knows_yet_what_it_will_meet(
    llamactl: Run, api: Fake
) -> None:
    api.put(MINE, deployment(status={"observedGeneration": 1, "weights": {"name": "w"}}))
    steps = [condition("Accessible", "Unknown", "Queued", "Kueue's queue night lets it wait")]
    api.put(f"{WEIGHTS}/w", weights("w", conditions=steps))
    code, found = verdict(llamactl)
    assert (code, found["cause"]) == (1, "Queued")
    assert "queue night" in found["explanation"]


def test_a_server_in_a_queue_is_shown_as_such(llamactl: Run, api: Fake) -> None:
    waits = condition("Progressing", "False", "Queued", "Kueue's queue team lets it wait")
    api.put(MINE, deployment(conditions=[waits], status={"observedGeneration": 1}))
    held = pod(is_ready=False)
    held["spec"] = {"schedulingGates": [{"name": "kueue.x-k8s.io/admission"}]}
    held["metadata"]["labels"] = {**held["metadata"]["labels"], "kueue.x-k8s.io/queue-name": "team"}
    held["status"] = {"phase": "Pending"}
    api.put(f"{PODS}/my-llama-0", held)
    page = " ".join(llamactl("status", "my-llama").stdout.split())
    assert "Queued: in Kueue's queue team" in page


def test_the_last_words_of_the_weights_job_are_read(llamactl: Run, api: Fake) -> None:
    api.put(MINE, deployment(status={"observedGeneration": 1, "weights": {"name": "w"}}))
    api.put(f"{WEIGHTS}/w", weights("w"))
    said = {"ok": False, "condition": "Accessible", "reason": "URLExpired", "message": "too old"}
    for name, made, words in (("old", "01", {}), ("new", "02", said)):
        job = pod(f"w-{name}", is_ready=False)
        job["metadata"]["creationTimestamp"] = f"2026-11-24T03:00:{made}Z"
        job["metadata"]["labels"] = {"batch.kubernetes.io/job-name": f"w-{name}"}
        ended = {"terminated": {"exitCode": 1, "message": json.dumps(words)}}
        job["status"] = {"phase": "Failed", "containerStatuses": [{"state": ended}]}
        api.put(f"{PODS}/w-{name}", job)
    code, found = verdict(llamactl)
    causes = [(each["cause"], each["object"]) for each in found["findings"]]
    assert code == 1
    assert ("URLExpired", "LlamaWeights w") in causes
    assert ("Failed", "LlamaWeights w") not in causes


def test_a_pod_that_cannot_mount_its_volume_is_told_of_by_its_events(
    llamactl: Run, api: Fake
) -> None:
    api.put(MINE, deployment(status={"observedGeneration": 1}))
    creating = placed("u", name="my-llama-0")
    api.put(f"{PODS}/my-llama-0", creating)
    for name, about, reason in (
        ("a", "my-llama-0", "FailedMount"),
        ("b", "my-llama-0", "Unhealthy"),
        ("c", "another-0", "FailedMount"),
    ):
        event = {
            "reason": reason,
            "message": f"timed out: {name}",
            "involvedObject": {
                "kind": "Pod",
                "name": about,
                "uid": about.replace("my-llama-0", "u"),
            },
        }
        api.put(f"{EVENTS}/{name}", event)
    code, found = verdict(llamactl)
    assert (code, found["cause"]) == (1, "FailedMount")
    assert found["explanation"] == "Kubernetes says: timed out: a"
    assert len(found["findings"]) == 1
    assert sorted(each["reason"] for each in found["events"]) == ["FailedMount", "Unhealthy"]
    assert any("fieldSelector=type%3DWarning" in path for _, path in api.asked)
    creating["status"]["phase"] = "Running"
    assert verdict(llamactl)[1]["findings"] == []


def test_a_replica_set_speaks_for_pods_that_are_not_made(llamactl: Run, api: Fake) -> None:
    api.put(MINE, deployment(status={"observedGeneration": 1}))
    api.put("/apis/apps/v1/namespaces/n/deployments/my-llama", {"status": {}})
    about = {"kind": "ReplicaSet", "name": "my-llama-5d4f"}
    event = {"reason": "FailedCreate", "message": "refused", "involvedObject": about}
    api.put(f"{EVENTS}/a", event)
    assert verdict(llamactl)[1]["cause"] == "AdmissionRefused"
    api.put(f"{PODS}/my-llama-0", pod())
    assert verdict(llamactl)[1]["findings"] == []


def test_a_spec_that_no_operator_looks_at_is_told_of(llamactl: Run, api: Fake) -> None:
    api.put(MINE, deployment(generation=2, status={"observedGeneration": 1}))
    code, found = verdict(llamactl)
    assert (code, found["cause"]) == (1, "NotReconciled")
    fresh = deployment(generation=2, status={"observedGeneration": 1})
    now = datetime.now(UTC).isoformat()
    fresh["metadata"]["managedFields"] = [{"manager": "kubectl", "time": now}]
    api.put(MINE, fresh)
    assert verdict(llamactl)[0] == 0


def test_a_quota_that_is_used_up_is_said_by_the_deployment(llamactl: Run, api: Fake) -> None:
    api.put(MINE, deployment(status={"observedGeneration": 1}))
    text = 'pods "my-llama-x7" is forbidden: exceeded quota: gpus'
    server = {"status": {"conditions": [
        {"type": "ReplicaFailure", "status": "True", "message": text}
    ]}}  # fmt: skip
    api.put("/apis/apps/v1/namespaces/n/deployments/my-llama", server)
    code, found = verdict(llamactl)
    assert (code, found["cause"]) == (1, "QuotaExceeded")
    assert "my-llama-x7" not in found["explanation"]


def test_what_may_not_be_read_is_said_with_the_rule(llamactl: Run, broken: Fake) -> None:
    def forbid(fake: Fake, method: str, path: str, body: Object) -> Answer | None:
        if path.endswith(("/log", "/events")):
            return 403, status(403, "Forbidden", 'User "u" cannot do that')
        return None

    broken.rules.insert(0, forbid)
    code, found = verdict(llamactl)
    # The operator read the log; without it only its own words are known.
    assert (code, found["cause"]) == (1, "InsufficientMemoryForContext")
    assert found["explanation"] == "said by the operator"
    assert len(found["findings"]) == 1
    assert len(found["unread"]) == 2
    assert "resources: [pods/log], verbs: [get]" in found["unread"][1]
    assert "resources: [events], verbs: [list]" in found["unread"][0]
    assert "Not read" in llamactl("doctor", "my-llama").stdout


def test_no_such_deployment_offers_the_nearest(llamactl: Run, broken: Fake) -> None:
    result = llamactl("doctor", "my-lama")
    assert result.exit_code == 1
    assert "my-llama" in result.stderr


# -- plan and reality ---------------------------------------------------------------------------


def test_the_plan_is_held_against_what_the_servers_found() -> None:
    seen = {"kvTokens": 1_200_000, "maxModelLen": 131072, "vllmVersion": "0.32.0"}
    obj = ready(status={"observed": seen}, spec={"engine": {"version": "0.31.0"}})
    rows = {row.what: row for row in reality.compare(obj)}
    assert rows["KV cache, tokens"].note == "14% less"
    assert rows["context, tokens"].note == ""
    assert rows["vLLM"].note == "differs"
    assert rows["replicas"].note == ""
    assert reality.compare(deployment()) == []


def test_the_page_shows_both(llamactl: Run, api: Fake) -> None:
    seen = {"kvTokens": 1_402_000, "maxModelLen": 131072}
    api.put(MINE, ready(status={"observed": seen, "observedGeneration": 1}))
    lines = llamactl("doctor", "my-llama").stdout.splitlines()
    assert ["KV", "cache,", "tokens", "1,402,112", "1,402,000"] in [line.split() for line in lines]


# -- the fix ------------------------------------------------------------------------------------


class Patched:
    """Takes patches as the API server does, and counts what was no dry run."""

    def __init__(self, fake: Fake, conflicts: int = 0) -> None:
        self.sent: list[Object] = []
        self.dry: list[Object] = []
        self.conflicts = conflicts
        fake.rules.insert(0, self.rule)

    def rule(self, fake: Fake, method: str, path: str, body: Object) -> Answer | None:
        if method != "PATCH":
            return None
        if "dryRun=All" in fake.asked[-1][1]:
            self.dry.append(body)
        elif self.conflicts:
            self.conflicts -= 1
            return 409, status(409, "Conflict", "the object has been modified")
        else:
            self.sent.append(body)
        there = fake.objects[path]
        return 200, {**there, "spec": {**there["spec"], **body["spec"]}}


def test_the_fix_is_shown_and_made_after_a_yes(llamactl: Run, broken: Fake) -> None:
    broken.objects[MINE]["metadata"]["resourceVersion"] = "41"
    patched = Patched(broken)
    result = llamactl("doctor", "my-llama", "--fix", "--yes")
    assert result.exit_code == 0
    assert "spec.sizing: not set -> {'maxModelLen': 1920}" in result.stderr
    patch = {"spec": {"sizing": {"maxModelLen": 1920}}}
    assert patched.dry == [patch]
    assert patched.sent == [{**patch, "metadata": {"resourceVersion": "41"}}]


def test_nothing_is_changed_without_a_yes(llamactl: Run, broken: Fake) -> None:
    patched = Patched(broken)
    result = llamactl("doctor", "my-llama", "--fix")
    assert result.exit_code == 2
    assert "--yes" in result.stderr
    assert patched.sent == []


def test_a_new_status_meanwhile_is_no_conflict(llamactl: Run, broken: Fake) -> None:
    patched = Patched(broken, conflicts=2)
    assert llamactl("doctor", "my-llama", "--fix", "-y").exit_code == 0
    assert len(patched.sent) == 1


def test_a_new_spec_meanwhile_is_one(llamactl: Run, broken: Fake) -> None:
    patched = Patched(broken)

    def edit(fake: Fake, method: str, path: str, body: Object) -> Answer | None:
        if method == "PATCH":
            fake.objects[MINE] = failing(generation=2)
        return None

    broken.rules.insert(0, edit)
    result = llamactl("doctor", "my-llama", "--fix", "-y")
    assert result.exit_code == 1
    assert "changed my-llama meanwhile" in result.stderr
    assert patched.sent == []


def test_a_fix_that_is_there_already_is_not_made_again(llamactl: Run, broken: Fake) -> None:
    broken.objects[MINE]["spec"]["sizing"] = {"maxModelLen": 1920}
    patched = Patched(broken)
    result = llamactl("doctor", "my-llama", "--fix", "-y")
    assert result.exit_code == 1
    assert "has this fix already" in result.stderr
    assert patched.sent == []


def test_where_no_field_mends_it_that_is_said(llamactl: Run, api: Fake) -> None:
    api.put(MINE, failing())
    api.put(f"{PODS}/my-llama-0", crashed())
    api.rules.append(log("FrobnicationError: no"))
    result = llamactl("doctor", "my-llama", "--fix", "-y")
    assert result.exit_code == 1
    assert "No field of the spec" in result.stderr
    assert not [call for call in api.asked if call[0] == "PATCH"]


def test_variables_that_are_there_stay() -> None:
    patch = {"spec": {"engine": {"env": [{"name": "B", "value": "2"}]}}}
    there = {"engine": {"env": [{"name": "A", "value": "1"}, {"name": "B", "value": "1"}]}}
    env = fixing.completed(patch, there)["spec"]["engine"]["env"]
    assert env == [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]
    assert fixing.completed(patch, {}) == patch


@pytest.mark.parametrize(
    "args", [["my-llama", "--log", "-"], ["--fix"], ["--log", "-", "--fix"], ["a", "b"]]
)
def test_wrong_usage(llamactl: Run, args: list[str]) -> None:
    assert llamactl("doctor", *args).exit_code == 2

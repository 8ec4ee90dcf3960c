"""Tables and pages: exact text at 100 columns, fitting at 60; stages; deletion; units."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from llamactl import deletion, naming, sse, stages, units
from llamactl.membar import bar
from llamactl.stages import Snapshot
from llamactl.table import Column, pairs, render
from tests.cli.conftest import DEPLOYMENTS, PODS, WEIGHTS, Run
from tests.cli.fake_api import Fake, status
from tests.cli.objects import NOW, PLAN, condition, deployment, pod, ready, weights


@pytest.fixture(autouse=True)
def _clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llamactl.list_view.age", lambda _: "5m00s")
    monkeypatch.setattr("llamactl.status_view.age", lambda _: "5m00s")
    monkeypatch.setattr("llamactl.detail.age", lambda _: "5m00s")


def fill(api: Fake) -> None:
    api.put(f"{DEPLOYMENTS}/my-llama", ready())
    waiting = deployment(
        "another-with-quite-a-long-name-of-a-research-group",
        conditions=[condition("Ready", "False", "WaitingForGPUs")],
    )
    api.put(f"{DEPLOYMENTS}/another", waiting)


def test_the_list_at_100_columns(llamactl: Run, api: Fake) -> None:
    fill(api)
    lines = llamactl("list").stdout.splitlines()
    assert lines[0].split() == ["NAME", "READY", "MODEL", "GPUS", "AGE"]
    assert lines[1].split() == ["my-llama", "1/1", "llama-3.1-8b-instruct", "8", "5m00s"]
    assert lines[2].split()[0] == "another-with-quite-a-long-name-of-a-research-group"
    assert max(map(len, lines)) <= 100


def test_the_list_shrinks_but_keeps_names(
    llamactl: Run, api: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(api)
    monkeypatch.setenv("COLUMNS", "66")
    lines = llamactl("list").stdout.splitlines()
    assert lines[0].split() == ["NAME", "READY", "AGE"]
    assert max(map(len, lines)) <= 66
    assert "another-with-quite-a-long-name-of-a-research-group" in lines[2]


def test_wide_says_all_whatever_the_width(
    llamactl: Run, api: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(api)
    monkeypatch.setenv("COLUMNS", "60")
    text = llamactl("list", "-o", "wide").stdout
    assert "http://my-llama.n.svc:8000/v1" in text
    assert "WaitingForGPUs" in text


STATUS = """\
Name:      my-llama
Namespace: n
Model:     llama-3.1-8b-instruct
Ready:     1/1
Age:       5m00s

CONDITION      STATUS   REASON                   FOR   MESSAGE
Ready          True     Serving                5m00s   1 of 1 replicas answer.
Planned        True     Fits                   5m00s   8 GPUs hold the weights and the full context
                                                       of 131,072 tokens.
WeightsReady   True     Ready                  5m00s   The weights are verified.
Available      True     MinimumReplicasReady   5m00s   1 of 1.
Degraded       False    Healthy                5m00s

Plan
GPUs:     8 x NVIDIA-H100-80GB-HBM3
Parallel: tensor 8, pipeline 1
Type:     bfloat16
Context:  131,072 tokens, 256 at once
KV cache: 1,402,112 tokens
Memory:   [WWWWWKKKKKKKKKKKKKKKKA··] weights 16.5 GiB, KV 53.5 GiB, activation 1.9 GiB, graphs 667.6
          MiB, other 1.4 GiB, free 5.3 GiB
Why:      8 GPUs hold the weights and the full context of 131,072 tokens.

Weights
Name:   llama-70b-abc
Size:   14.9 GiB
Volume: llama-70b-abc/models/x

POD          STATE   RESTARTS   NODE       AGE
my-llama-0   Ready          0   node-1   5m00s

Endpoint
URL:     http://my-llama.n.svc:8000/v1
Model:   llama-3.1-8b-instruct
API key: in Secret my-llama-api-key

Ask it:
  llamactl chat my-llama
"""


def test_the_page_of_status(llamactl: Run, api: Fake) -> None:
    api.put(f"{DEPLOYMENTS}/my-llama", ready())
    api.put(f"{PODS}/my-llama-0", pod())
    copy = weights(
        conditions=[condition("Ready", "True", "Published")],
        status={"bytes": 16_000_000_000, "claimName": "llama-70b-abc", "path": "models/x"},
    )
    api.put(f"{WEIGHTS}/llama-70b-abc", copy)
    assert llamactl("status", "my-llama").stdout == STATUS


OUTSIDE = "https://llama.example.com/v1"


def test_the_way_in_from_outside_is_shown_where_there_is_one(llamactl: Run, api: Fake) -> None:
    api.put(f"{DEPLOYMENTS}/my-llama", ready())
    assert OUTSIDE not in llamactl("status", "my-llama").stdout
    heading, row = llamactl("list", "-o", "wide").stdout.splitlines()
    assert (heading.split()[-1], row.split()[-1]) == ("EXTERNAL", "-")
    found = ready()
    found["status"]["endpoint"]["externalURL"] = OUTSIDE
    api.put(f"{DEPLOYMENTS}/my-llama", found)
    assert f"External: {OUTSIDE}\n" in llamactl("status", "my-llama").stdout
    cells = llamactl("list", "-o", "wide").stdout.splitlines()[1].split()
    assert cells[-2:] == ["http://my-llama.n.svc:8000/v1", OUTSIDE]


FOUND = """\
PLAN                 PLANNED       FOUND   NOTE
replicas                   1           1
context, tokens      131,072     131,072
KV cache, tokens   1,402,112   1,261,901   10% less
vLLM                       -      0.32.0
"""
START = """\
Last start: my-llama-0
COLD START          TOOK
scheduling            2s
volumes, image       40s   ███████
loading weights    1m00s          ███████████
compiling            24s                     ████
capturing graphs      9s                         ██
"""
WARNINGS = """\
 LAST   REASON    OBJECT           MESSAGE
5m00s   BackOff   Pod my-llama-0   Back-off restarting failed container
"""


def test_status_shows_what_came_of_the_plan_and_how_the_start_went(
    llamactl: Run, api: Fake
) -> None:
    observed = {"maxModelLen": 131072, "kvTokens": 1_261_901, "vllmVersion": "0.32.0"}
    start = {"pod": "my-llama-0", "scheduledSeconds": 2, "imageSeconds": 40, "loadSeconds": 60,
             "compileSeconds": 24, "graphsSeconds": 9}  # fmt: skip
    api.put(f"{DEPLOYMENTS}/my-llama", ready(status={"observed": observed, "coldStart": start}))
    about = {"kind": "Pod", "name": "my-llama-0"}
    warning = {"reason": "BackOff", "message": "Back-off restarting failed container"}
    for number, each in enumerate((about, {"kind": "Pod", "name": "another-0"})):
        event = {**warning, "involvedObject": each, "lastTimestamp": NOW}
        api.put(f"/api/v1/namespaces/n/events/{number}", event)
    api.put(f"{PODS}/my-llama-0", pod())
    page = llamactl("status", "my-llama").stdout
    for part in (FOUND, START, WARNINGS):
        assert part in page
    assert "another-0" not in page


def test_status_without_the_right_to_events_says_so(llamactl: Run, api: Fake) -> None:
    said = status(403, "Forbidden", 'User "u" cannot list resource "events"')
    api.put(f"{DEPLOYMENTS}/my-llama", ready())
    api.rules.append(lambda _, __, path, ___: (403, said) if path.endswith("/events") else None)
    result = llamactl("status", "my-llama")
    assert result.exit_code == 0
    assert "Not read, so more may be wrong" in result.stdout
    assert "resources: [events], verbs: [list]" in result.stdout.replace("\n  ", " ")


def test_status_says_who_scales(llamactl: Run, api: Fake) -> None:
    obj = ready()
    targets = [{"metric": "WaitingRequests", "value": 5}]
    obj["spec"] |= {"replicas": 2, "autoscaling": {"idleAfter": "10m", "targets": targets}}
    told = {"scaler": "KEDA", "minReplicas": 0, "maxReplicas": 4, "message": "a quota"}
    obj["status"]["autoscaling"] = told
    api.put(f"{DEPLOYMENTS}/my-llama", obj)
    assert (
        "\nAutoscaling\n"
        "Replicas: 0 to 4, now 2\n"
        "By:       KEDA: WaitingRequests 5\n"
        "Idle:     10m\n"
        "Note:     a quota\n"
    ) in llamactl("status", "my-llama").stdout
    obj["status"]["autoscaling"] = {**told, "scaler": "None", "minReplicas": 1, "message": ""}
    api.put(f"{DEPLOYMENTS}/my-llama", obj)
    shown = llamactl("status", "my-llama").stdout
    assert "Replicas: 1 to 4, now 2\n" in shown
    assert "Idle:" not in shown and "Note:" not in shown


def test_status_as_json_is_the_object(llamactl: Run, api: Fake) -> None:
    import json

    api.put(f"{DEPLOYMENTS}/my-llama", ready())
    obj = json.loads(llamactl("status", "my-llama", "-o", "json").stdout)
    assert obj["status"]["plan"] == PLAN
    assert "managedFields" not in obj["metadata"]


def test_status_fits_60_columns(llamactl: Run, api: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    api.put(f"{DEPLOYMENTS}/my-llama", ready())
    monkeypatch.setenv("COLUMNS", "60")
    lines = llamactl("status", "my-llama").stdout.splitlines()
    assert max(map(len, lines)) <= 60


def progressing(**progress: object) -> Snapshot:
    obj = deployment(
        conditions=[
            condition("Planned", "True", "Fits"),
            condition("WeightsReady", "False", "Pending"),
        ]
    )
    return Snapshot(obj, weights(status={"progress": progress}))


def test_a_download_tells_bytes_percent_speed_and_time_left() -> None:
    seen = progressing(
        phase="Fetching", bytesDone=4 << 30, bytesTotal=16 << 30, bytesPerSecond=100 << 20
    )
    stage = stages.stages(seen)[1]
    assert stage.text == "Fetching, 4.0 GiB of 16.0 GiB, 25%, 100.0 MiB/s, 2m03s left"
    assert stages.failure(seen) is None


def test_conditions_of_an_older_spec_do_not_count() -> None:
    old = condition("Planned", "False", "InvalidParallelism", "x", observedGeneration=1)
    assert stages.failure(Snapshot(deployment(generation=2, conditions=[old]))) is None
    assert stages.failure(Snapshot(deployment(generation=1, conditions=[old]))) is not None


@pytest.mark.parametrize(
    ("kind", "reason", "lasts"),
    [
        ("Accessible", "LicenceNotAccepted", True),
        ("Accessible", "RateLimited", False),
        ("VolumeReady", "Full", True),
        ("VolumeReady", "WaitingForConsumer", False),
        ("Downloaded", "Stalled", False),
        ("Verified", "ChecksumMismatch", True),
    ],
)
def test_only_what_does_not_pass_ends_a_wait(kind: str, reason: str, lasts: bool) -> None:
    copy = weights(conditions=[condition(kind, "False", reason, "why")])
    found = stages.failure(Snapshot(deployment(), copy))
    assert (found is not None) == lasts
    assert found is None or (found.reason, found.message) == (reason, "why")


def test_degraded_ends_a_wait_and_healthy_does_not() -> None:
    bad = deployment(conditions=[condition("Degraded", "True", "CrashLooping", "exit 1")])
    good = deployment(conditions=[condition("Degraded", "False", "Healthy")])
    found = stages.failure(Snapshot(bad))
    assert found is not None
    assert found.reason == "CrashLooping"
    assert stages.failure(Snapshot(good)) is None


def test_deletion_names_what_is_kept() -> None:
    copy = weights(
        spec={"retention": {"policy": "Delete", "afterUnused": "24h"}},
        status={"bytes": 15 << 30, "claimName": "w", "usedBy": ["my-llama"]},
    )
    goes, kept = deletion.lines(Snapshot(ready(), copy, [pod()]))
    assert "its server pod" in goes
    assert "Secret my-llama-api-key (the key ends)" in goes
    assert kept == (
        "Kept: LlamaWeights llama-70b-abc (15.0 GiB) for 24h after its last use, volume claim w."
    )
    copy["status"]["usedBy"] = ["my-llama", "b"]
    assert "which b also uses" in deletion.lines(Snapshot(ready(), copy))[1]


def test_own_secrets_stay() -> None:
    own = ready(spec={"auth": {"secretName": "team-keys"}})
    assert "Secret" not in deletion.lines(Snapshot(own))[0]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90),
        ("30m", 1800),
        ("1h30m", 5400),
        ("45", 45),
        ("", None),
        ("x", None),
        ("5x", None),
    ],
)
def test_durations(text: str, seconds: float | None) -> None:
    assert units.parse_duration(text) == seconds


def test_words_for_numbers() -> None:
    assert [units.duration(s) for s in (5, 65, 7500, 90000)] == ["5s", "1m05s", "2h05m", "1d1h"]
    assert [units.bytes_text(n) for n in (12, 2048, 15 << 30)] == ["12 B", "2.0 KiB", "15.0 GiB"]
    now = datetime(2026, 11, 24, 3, 5, tzinfo=UTC)
    assert units.age("2026-11-24T03:00:00Z", now) == "5m00s"
    assert units.age("", now) == "?"


def test_bars_always_have_their_width() -> None:
    for cells in (1, 7, 24):
        assert len(bar(PLAN["perGpu"], cells)) == cells  # type: ignore[arg-type]
    assert bar({"weightsBytes": 1, "freeBytes": 1}, 4) == "WW··"
    assert bar({}, 4) == ""


def test_long_cells_wrap_and_names_do_not() -> None:
    columns = (Column("NAME"), Column("WHY", wrap=True, least=8))
    text = render(columns, [["a" * 30, "one two three four"]], 44)
    assert text.splitlines()[1:] == [f"{'a' * 30}   one two", " " * 33 + "three four"]
    assert pairs([("A", "b"), ("Long", "c")], 40) == "A:    b\nLong: c"


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("llama-3.1-8b-instruct", "llama-3-1-8b-instruct"),
        ("Org/Some_Model.v2", "some-model-v2"),
        ("org/7B", "llama-7b"),
        ("x" * 80, "x" * 50),
    ],
)
def test_names_from_models(model: str, name: str) -> None:
    assert naming.check(naming.from_model(model)) == name


def test_events_are_joined_as_the_specification_says() -> None:
    lines = [b": ping\n", b"data: a\r\n", b"data:b\n", b"\n", b"event: x\n", b"\n"]
    assert list(sse.events([*lines, b"data: [DONE]\n", b"\n", b"data: no\n", b"\n"])) == ["a\nb"]

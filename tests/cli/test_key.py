"""The keys of an endpoint: on stdout and nowhere else, new beside old, and what must restart."""

from __future__ import annotations

import base64
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from llama_operator.api import labels
from llamactl import apikey, keyentries
from tests.cli.conftest import DEPLOYMENTS, PODS, SECRETS, Run
from tests.cli.fake_api import Fake
from tests.cli.objects import pod, ready, secret
from tests.cli.patching import takes_patches, writes
from tests.support import guarding

KEY = "sk-old-0123456789"
OWN = f"{SECRETS}/my-llama-api-key"


@pytest.fixture(autouse=True)
def _served(api: Fake) -> None:
    def selects(fake: Fake, method: str, path: str, _: dict[str, Any]) -> Any:
        # Pods of one deployment, as the label selector asks.
        if method != "GET" or path != PODS:
            return None
        asked = fake.asked[-1][1]
        found = [
            each for place, each in fake.objects.items()
            if place.startswith(PODS) and each["metadata"]["labels"]["llamactl.dev/deployment"] in asked
        ]  # fmt: skip
        return 200, {"items": found}

    api.rules += [takes_patches, selects]
    api.put(f"{DEPLOYMENTS}/my-llama", ready())
    api.put(f"{PODS}/my-llama-0", pod())
    api.put(OWN, secret(KEY))


def stored(api: Fake, place: str = OWN, entry: str = "default") -> str:
    return base64.b64decode(api.objects[place]["data"][entry]).decode()


def old_entries(api: Fake) -> list[str]:
    return [name for name in api.objects[OWN]["data"] if ".old-until-" in name]


def guarded(name: str = "my-llama-0", owner: str = "my-llama") -> dict[str, Any]:
    """A server that reads its keys anew."""
    made = pod(name, owner)
    made["metadata"]["annotations"] = {labels.GUARD: "..."}
    return made


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> Callable[[datetime], None]:
    return lambda moment: monkeypatch.setattr(apikey, "now", lambda: moment)


def test_show_prints_the_key_alone_on_stdout(llamactl: Run, api: Fake) -> None:
    result = llamactl("key", "show", "my-llama")
    assert (result.exit_code, result.stdout) == (0, f"{KEY}\n")
    assert result.stderr == "Secret my-llama-api-key, entry default:\n"


@pytest.mark.parametrize("verb", ["show", "rotate", "list"])
def test_an_endpoint_without_keys(llamactl: Run, api: Fake, verb: str) -> None:
    api.put(f"{DEPLOYMENTS}/my-llama", ready(spec={"auth": {"mode": "None"}}))
    result = llamactl("key", verb, "my-llama")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "my-llama asks for no API key (spec.auth.mode is None)" in result.stderr
    assert "llamactl set my-llama auth.mode=APIKey" in result.stderr


def test_a_secret_that_is_empty_or_gone(llamactl: Run, api: Fake) -> None:
    api.put(OWN, {"data": {}})
    assert "llamactl key rotate my-llama" in llamactl("key", "show", "my-llama").stderr
    del api.objects[OWN]
    result = llamactl("key", "show", "my-llama")
    assert result.exit_code == 1
    assert 'no Secret "my-llama-api-key"' in result.stderr


def test_rotate_puts_a_new_key_beside_the_old_one(
    llamactl: Run, api: Fake, at: Callable[[datetime], None]
) -> None:
    at(datetime(2026, 11, 26, 19, 15, tzinfo=UTC))
    api.put(f"{PODS}/my-llama-0", guarded())
    result = llamactl("key", "rotate", "my-llama")
    assert (result.exit_code, result.stdout) == (0, "secret/my-llama-api-key rotated\n")
    new, old = stored(api), "default.old-until-20261126T201500Z"
    assert new != KEY
    assert len(new) > 40
    assert stored(api, entry=old) == KEY
    assert KEY not in result.output
    assert new not in result.output
    assert f"counts until 2026-11-26 20:15 UTC, as entry {old}" in result.stderr
    assert f"llamactl key revoke my-llama {old}" in result.stderr
    assert "1 server sees the change within two minutes, without a restart" in result.stderr
    assert "restart one" not in result.stderr.lower()
    # The pod is touched so that its kubelet looks at once, and nothing else.
    assert writes(api) == [OWN, f"{PODS}/my-llama-0"]
    touched = api.objects[f"{PODS}/my-llama-0"]["metadata"]["annotations"][labels.KEYS_CHANGED]
    llamactl("key", "revoke", "my-llama", old)
    again = api.objects[f"{PODS}/my-llama-0"]["metadata"]["annotations"][labels.KEYS_CHANGED]
    assert again != touched, "no change of the pod is no news to its kubelet"


def test_what_it_writes_is_what_the_guard_reads(llamactl: Run, api: Fake, tmp_path: Path) -> None:
    llamactl("key", "rotate", "my-llama", "--overlap", "10m")
    texts = {name: stored(api, entry=name) for name in api.objects[OWN]["data"]}
    guarding.write_secret(tmp_path, texts, "1")
    keys = guarding.load().Keys(tmp_path)
    assert keys.find(stored(api).encode()) == ("default", "")
    assert keys.find(KEY.encode()) == ("default.old", "")
    (until,) = [each.until for each in keyentries.read(api.objects[OWN]) if each.until]
    (known,) = [end for name, end in keys._known.values() if name == "default.old"]
    assert until.timestamp() == known == pytest.approx(time.time() + 600, abs=5)


def test_a_canary_is_woken_with_the_servers(llamactl: Run, api: Fake) -> None:
    assert llamactl("key", "rotate", "my-llama").exit_code == 0
    asked = [path for method, path in api.asked if method == "GET" and "/pods" in path]
    assert all("in+%28server%2Ccanary%29" in path for path in asked)
    assert asked


def test_a_second_rotation_keeps_what_counts_and_drops_what_ended(
    llamactl: Run, api: Fake, at: Callable[[datetime], None]
) -> None:
    start = datetime(2026, 11, 26, tzinfo=UTC)
    for minutes in (0, 30, 61):
        at(start + timedelta(minutes=minutes))
        assert llamactl("key", "rotate", "my-llama").exit_code == 0
    assert old_entries(api) == [
        "default.old-until-20261126T013000Z", "default.old-until-20261126T020100Z",
    ]  # fmt: skip


def test_without_overlap_no_old_key_counts(llamactl: Run, api: Fake) -> None:
    llamactl("key", "rotate", "my-llama")
    result = llamactl("key", "rotate", "my-llama", "--overlap", "0s")
    assert list(api.objects[OWN]["data"]) == ["default"]
    assert "The old key of default ends when the servers have seen the change" in result.stderr


def test_an_overlap_beyond_a_year_is_no_rotation(llamactl: Run, api: Fake) -> None:
    result = llamactl("key", "rotate", "my-llama", "--overlap", "367d")
    assert result.exit_code == 2
    assert "--overlap" in result.stderr
    assert writes(api) == []


def test_a_server_from_before_the_guard_must_restart(llamactl: Run, api: Fake) -> None:
    result = llamactl("key", "rotate", "my-llama")
    assert "1 server was made before keys could change while a server runs" in result.stderr
    assert "llamactl set my-llama podMetadata.annotations.key-rotated-at=2" in result.stderr
    assert writes(api) == [OWN]


def test_without_the_right_to_touch_pods_the_kubelet_is_waited_for(
    llamactl: Run, api: Fake
) -> None:
    api.put(f"{PODS}/my-llama-0", guarded())
    refuse = {"kind": "Status", "code": 403, "reason": "Forbidden", "message": "pods is forbidden"}
    api.rules.insert(
        0, lambda _, method, path, __: (403, refuse) if method == "PATCH" and PODS in path else None
    )
    result = llamactl("key", "rotate", "my-llama")
    assert (result.exit_code, result.stdout) == (0, "secret/my-llama-api-key rotated\n")
    assert "forbidden" not in result.stderr.lower()


def test_keys_of_teams_come_and_go(llamactl: Run, api: Fake) -> None:
    api.put(f"{PODS}/my-llama-0", guarded())
    result = llamactl("key", "add", "my-llama", "team-a")
    assert result.stdout == "secret/my-llama-api-key entry team-a added\n"
    key = stored(api, entry="team-a")
    assert key not in result.output
    assert llamactl("key", "show", "my-llama", "--entry", "team-a").stdout == f"{key}\n"
    assert llamactl("key", "show", "my-llama").stdout == f"{KEY}\n"
    listed = llamactl("key", "list", "my-llama")
    assert re.findall(r"^(\S+) +(.+)$", listed.stdout, re.M)[1:] == [
        ("default", "counts"), ("team-a", "counts"),
    ]  # fmt: skip
    assert key not in listed.output
    assert llamactl("key", "revoke", "my-llama", "team-a").exit_code == 0
    assert list(api.objects[OWN]["data"]) == ["default"]


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (("add", "my-llama", "default"), 1, "llamactl key rotate my-llama --entry default"),
        (("add", "my-llama", "a/b"), 2, "such as team-a"),
        (("add", "my-llama", ".."), 2, "such as team-a"),
        (("add", "my-llama", "x.old-until-20261126T000000Z"), 2, "no '.old'"),
        (("rotate", "my-llama", "--entry", "x.old-until-20261126T000000Z"), 2, "no '.old'"),
        (("rotate", "my-llama", "--entry", "team-b"), 1, "Its entries are: default"),
        (("show", "my-llama", "--entry", "team-b"), 1, "Its entries are: default"),
        (("revoke", "my-llama", "team-b"), 1, "Its entries are: default"),
        (("revoke", "my-llama", "default"), 1, "--entry default --overlap 0s"),
        (("rotate", "my-llama", "--overlap", "soon"), 2, "not a span of time"),
    ],
)
def test_what_cannot_be_says_what_can(
    llamactl: Run, api: Fake, args: tuple[str, ...], code: int, words: str
) -> None:
    result = llamactl("key", *args)
    assert result.exit_code == code, result.output
    assert words in result.stderr
    assert "Traceback" not in result.output
    assert writes(api) == []


def test_default_stays_while_a_server_from_before_the_guard_runs(llamactl: Run, api: Fake) -> None:
    api.objects[OWN]["data"]["team-a"] = "a2V5"
    result = llamactl("key", "revoke", "my-llama", "default")
    assert result.exit_code == 1
    assert "llamactl key rotate my-llama --overlap 0s --restart" in result.stderr
    api.put(f"{PODS}/my-llama-0", guarded())
    assert llamactl("key", "revoke", "my-llama", "default").exit_code == 0


def test_two_at_once_lose_no_key(llamactl: Run, api: Fake) -> None:
    sent: list[dict[str, Any]] = []
    api.rules.insert(
        0, lambda _, method, path, body: sent.append(body) if path == OWN and method == "PATCH" else None
    )  # fmt: skip
    api.objects[OWN]["metadata"] = {"name": "my-llama-api-key", "resourceVersion": "42"}
    llamactl("key", "rotate", "my-llama")
    assert sent[0]["metadata"] == {"resourceVersion": "42"}


def test_list_tells_what_ended(llamactl: Run, api: Fake, at: Callable[[datetime], None]) -> None:
    at(datetime(2026, 11, 26, tzinfo=UTC))
    api.objects[OWN]["data"] |= {
        "a.old-until-20261125T000000Z": "a2V5", "b.old-until-20261127T000000Z": "a2V5", "c": "",
    }  # fmt: skip
    out = llamactl("key", "list", "my-llama", "-o", "json").stdout
    assert '"ended 2026-11-25 00:00 UTC"' in out
    assert '"until 2026-11-27 00:00 UTC"' in out
    assert '"empty"' in out
    assert llamactl("key", "list", "my-llama", "-o", "name").stdout.split()[-1] == "default"


def test_other_entries_stay(llamactl: Run, api: Fake) -> None:
    api.objects[OWN]["data"]["team-a"] = "a2V5"
    llamactl("key", "rotate", "my-llama")
    assert api.objects[OWN]["data"]["team-a"] == "a2V5"


def test_without_servers_nothing_must_restart(llamactl: Run, api: Fake) -> None:
    del api.objects[f"{PODS}/my-llama-0"]
    result = llamactl("key", "rotate", "my-llama", "--restart")
    assert "no server runs; the next one starts with the keys as they are" in result.stderr
    assert writes(api) == [OWN]


def test_restart_changes_the_pods(llamactl: Run, api: Fake) -> None:
    result = llamactl("key", "rotate", "my-llama", "--restart")
    assert result.exit_code == 0, result.output
    assert "The server restarts" in result.stderr
    annotations = api.objects[f"{DEPLOYMENTS}/my-llama"]["spec"]["podMetadata"]["annotations"]
    assert list(annotations) == ["key-rotated-at"]


def test_a_secret_of_several_deployments_names_them_all(llamactl: Run, api: Fake) -> None:
    shared = {"spec": {"auth": {"secretName": "ours"}}}
    for name in ("my-llama", "second", "third"):
        obj = ready(name, **shared)
        obj["status"]["endpoint"]["secretName"] = "ours" if name != "third" else "third-api-key"
        api.put(f"{DEPLOYMENTS}/{name}", obj)
    api.put(f"{PODS}/second-0", pod("second-0", "second"))
    api.put(f"{SECRETS}/ours", secret(KEY))
    result = llamactl("key", "rotate", "my-llama")
    assert result.stdout == "secret/ours rotated\n"
    assert "llamactl set second podMetadata" in result.stderr
    assert "third" not in result.stderr


def test_a_dry_run_leaves_the_key(llamactl: Run, api: Fake) -> None:
    result = llamactl("key", "rotate", "my-llama", "--dry-run=server")
    assert result.stdout.endswith("rotated (server dry run)\n")
    assert result.stderr == ""
    assert stored(api) == KEY
    assert writes(api) == []

"""key show and rotate: the key on stdout and nowhere else, and what must restart."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from tests.cli.conftest import DEPLOYMENTS, PODS, SECRETS, Run
from tests.cli.fake_api import Fake
from tests.cli.objects import pod, ready, secret
from tests.cli.patching import takes_patches, writes

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


def stored(api: Fake, place: str = OWN) -> str:
    return base64.b64decode(api.objects[place]["data"]["default"]).decode()


def test_show_prints_the_key_alone_on_stdout(llamactl: Run, api: Fake) -> None:
    result = llamactl("key", "show", "my-llama")
    assert (result.exit_code, result.stdout) == (0, f"{KEY}\n")
    assert result.stderr == "Secret my-llama-api-key, entry default:\n"


@pytest.mark.parametrize("verb", ["show", "rotate"])
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


def test_rotate_makes_another_key_and_names_what_must_restart(llamactl: Run, api: Fake) -> None:
    result = llamactl("key", "rotate", "my-llama")
    assert (result.exit_code, result.stdout) == (0, "secret/my-llama-api-key rotated\n")
    new = stored(api)
    assert new != KEY
    assert len(new) > 40
    assert KEY not in result.output
    assert new not in result.output
    assert "my-llama: its server goes on with the old key until restarted" in result.stderr
    assert "llamactl set my-llama podMetadata.annotations.key-rotated-at=2" in result.stderr
    assert writes(api) == [OWN]
    llamactl("key", "rotate", "my-llama")
    assert stored(api) != new


def test_other_entries_stay(llamactl: Run, api: Fake) -> None:
    api.objects[OWN]["data"]["team-a"] = "a2V5"
    llamactl("key", "rotate", "my-llama")
    assert api.objects[OWN]["data"]["team-a"] == "a2V5"


def test_without_servers_nothing_must_restart(llamactl: Run, api: Fake) -> None:
    del api.objects[f"{PODS}/my-llama-0"]
    result = llamactl("key", "rotate", "my-llama", "--restart")
    assert "no server runs, so nothing must restart" in result.stderr
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

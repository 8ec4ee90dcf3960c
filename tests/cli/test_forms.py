"""The same options mean the same everywhere: forms of the answer, dry runs, waits, credentials."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from llamactl.app import SECTIONS, cli
from tests.cli.conftest import DEPLOYMENTS, WEIGHTS, Run
from tests.cli.fake_api import Answer, Fake, status
from tests.cli.objects import condition, deployment, weights
from tests.cli.patching import takes_patches, writes

FULL = "llamaweights.llamactl.dev"
# No cluster is asked: nothing to name one by.
OFFLINE = {"completion", "models", "models show", "models compare"}
UNUSED = {"unusedSince": "2026-01-01T00:00:00Z", "bytes": 1 << 30}


def _leaves(group: click.Group, prefix: str = "") -> dict[str, click.Command]:
    context = click.Context(group)
    found: dict[str, click.Command] = {}
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            found |= _leaves(command, f"{prefix}{name} ")
        if not isinstance(command, click.Group) or command.invoke_without_command:
            found[f"{prefix}{name}"] = command
    return found


LEAVES = _leaves(cli)


def _options(command: click.Command) -> dict[str, click.Parameter]:
    return {name: param for param in command.params for name in param.opts}


def test_all_commands_are_looked_at() -> None:
    assert {name.split()[0] for name in LEAVES} == {n for part in SECTIONS.values() for n in part}


@pytest.mark.parametrize("name", sorted(set(LEAVES) - OFFLINE))
def test_every_command_takes_the_flags_of_the_cluster(name: str) -> None:
    assert {"-n", "--namespace", "--context", "--kubeconfig"} <= set(_options(LEAVES[name]))


@pytest.mark.parametrize("name", sorted(LEAVES))
def test_options_of_one_name_mean_one_thing(name: str) -> None:
    found = _options(LEAVES[name])
    assert ("-o" in found) == ("--output" in found)
    assert ("--wait" in found) <= ("--timeout" in found)
    if "-o" in found:
        choice = found["-o"].type
        assert isinstance(choice, click.Choice)
        assert set(choice.choices) <= {"table", "text", "wide", "json", "yaml", "name"}
    if "--dry-run" in found:
        kinds = found["--dry-run"].type
        assert isinstance(kinds, click.Choice)
        assert set(kinds.choices) <= {"none", "client", "server"}
    if "--watch" in found:
        assert {"-w", "-A", "--all-namespaces", "-l", "--selector"} <= set(found)


# -- one token ------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", [["deploy", "8b"], ["weights", "add", "8b"]])
def test_two_tokens_are_refused_alike(
    llamactl: Run, api: Fake, tmp_path: Path, command: list[str]
) -> None:
    token = tmp_path / "token"
    token.write_text("hf_0123456789")
    result = llamactl(*command, "--hf-token-file", token, "--hf-token-secret", "mine")
    assert result.exit_code == 2
    assert result.stderr == (
        "Error: --hf-token-secret: it names a Secret, and --hf-token-file makes one.\n"
        "Keep one of them.\n"
    )
    assert api.asked == []


@pytest.mark.parametrize("option", ["--hf-token-file", "--hf-token-secret"])
@pytest.mark.parametrize("command", [["deploy", "8b"], ["weights", "add", "8b", "--source=meta"]])
def test_a_token_and_metas_url_are_refused_alike(
    llamactl: Run, api: Fake, tmp_path: Path, command: list[str], option: str
) -> None:
    path = tmp_path / "file"
    path.write_text("x")
    result = llamactl(*command, "--meta-url-file", path, option, path)
    assert result.exit_code == 2
    assert f"Error: {option}: a token is for Hugging Face" in result.stderr
    assert api.asked == []


# -- weights gc -----------------------------------------------------------------------------------


@pytest.fixture
def two(api: Fake) -> Fake:
    """Two copies that nothing uses, and a server that deletes."""
    for name in ("a", "b"):
        api.put(f"{WEIGHTS}/{name}", weights(name, status=UNUSED))
    api.rules.append(lambda _, method, *__: (200, {}) if method == "DELETE" else None)
    return api


def _deleted(api: Fake) -> list[str]:
    return [path.rsplit("/", 1)[1] for method, path in api.asked if method == "DELETE"]


@pytest.mark.parametrize(("fmt", "read"), [("json", json.loads), ("yaml", yaml.safe_load)])
def test_gc_gives_what_it_deleted_as_a_document(
    llamactl: Run, two: Fake, fmt: str, read: Any
) -> None:
    for more in (["--dry-run"], ["--yes"]):
        result = llamactl("weights", "gc", "-o", fmt, *more)
        assert result.exit_code == 0, result.output
        assert [each["metadata"]["name"] for each in read(result.stdout)["items"]] == ["a", "b"]
    assert _deleted(two) == ["a", "b"]


def test_gc_names_what_it_deleted(llamactl: Run, two: Fake) -> None:
    names = f"{FULL}/a\n{FULL}/b\n"
    assert llamactl("weights", "gc", "-o", "name", "--dry-run=client").stdout == names
    assert _deleted(two) == []
    assert llamactl("weights", "gc", "-o", "name", "-y").stdout == names


def test_gc_has_the_server_judge_a_dry_run(llamactl: Run, two: Fake) -> None:
    result = llamactl("weights", "gc", "--dry-run=server")
    assert f"{FULL}/a deleted (server dry run)" in result.stdout
    assert _deleted(two) == ["a?dryRun=All", "b?dryRun=All"]


def test_gc_shows_what_it_asks_about_beside_the_document(llamactl: Run, two: Fake) -> None:
    result = llamactl("weights", "gc", "-o", "json")
    assert result.exit_code == 2
    assert "NAME" in result.stderr
    assert result.stdout == ""


def test_gc_that_breaks_off_tells_what_is_gone(llamactl: Run, two: Fake) -> None:
    def refuse(_: Fake, method: str, path: str, __: dict[str, Any]) -> Answer | None:
        bad = method == "DELETE" and path.endswith("/b")
        return (500, status(500, "InternalError", "etcd")) if bad else None

    two.rules.insert(0, refuse)
    result = llamactl("weights", "gc", "-o", "json", "--yes")
    assert result.exit_code == 1
    assert [each["metadata"]["name"] for each in json.loads(result.stdout)["items"]] == ["a"]


def test_gc_of_all_namespaces_deletes_each_where_it_is(llamactl: Run, two: Fake) -> None:
    other = weights("c", status=UNUSED)
    other["metadata"]["namespace"] = "team"
    copies = [two.objects[f"{WEIGHTS}/a"], other]
    answer = {"metadata": {"resourceVersion": "1"}, "items": copies}
    everywhere = WEIGHTS.replace("/namespaces/n", "")
    two.rules.insert(0, lambda _, __, path, ___: (200, answer) if path == everywhere else None)
    result = llamactl("weights", "gc", "-A", "--yes")
    assert result.exit_code == 0, result.output
    assert re.search(r"^NAMESPACE +NAME", result.stdout)
    gone = [path for method, path in two.asked if method == "DELETE"]
    assert gone == [f"{WEIGHTS}/a", f"{WEIGHTS}/c".replace("/n/", "/team/")]


def test_gc_of_nothing_is_an_empty_list(llamactl: Run, api: Fake) -> None:
    result = llamactl("weights", "gc", "-o", "json")
    assert (result.exit_code, json.loads(result.stdout)["items"]) == (0, [])


# -- the others -----------------------------------------------------------------------------------


def test_delete_by_name(llamactl: Run, api: Fake) -> None:
    api.put(f"{DEPLOYMENTS}/my-llama", deployment())
    result = llamactl("delete", "my-llama", "--dry-run=server", "-o", "name")
    assert result.stdout == "llamadeployment.llamactl.dev/my-llama\n"


def test_verify_gives_the_copy(llamactl: Run, api: Fake) -> None:
    api.rules.append(takes_patches)
    api.put(f"{WEIGHTS}/c", weights("c", status={"digest": "sha256:" + "a" * 64}))
    asked = json.loads(llamactl("weights", "verify", "c", "-o", "json").stdout)
    assert "llamactl.dev/verify-at" in asked["metadata"]["annotations"]
    planned = llamactl("weights", "verify", "c", "--schedule", "Daily", "-o", "yaml").stdout
    assert yaml.safe_load(planned)["spec"]["verify"] == {"schedule": "Daily"}
    assert llamactl("weights", "verify", "c", "-o", "name").stdout == f"{FULL}/c\n"


def test_crds_as_manifests_without_a_cluster(llamactl: Run) -> None:
    result = llamactl("crds", "apply", "--dry-run=client", "-o", "yaml")
    assert result.exit_code == 0, result.output
    found = yaml.safe_load(result.stdout)["items"]
    assert {each["kind"] for each in found} == {"CustomResourceDefinition"}
    assert len(found) == 2
    assert "(client dry run)" in llamactl("crds", "apply", "--dry-run=client").stdout


def test_crds_as_the_server_would_have_them(llamactl: Run, api: Fake) -> None:
    api.rules.append(takes_patches)
    result = llamactl("crds", "apply", "--dry-run=server", "-o", "json")
    assert len(json.loads(result.stdout)["items"]) == 2
    assert writes(api) == []


# -- apply --wait ---------------------------------------------------------------------------------

COPY = {
    "apiVersion": "llamactl.dev/v1alpha1",
    "kind": "LlamaWeights",
    "metadata": {"name": "c"},
    "spec": {"model": "llama-3.1-8b-instruct"},
}


def _apply(llamactl: Run, directory: Path, *more: str) -> Any:
    path = directory / "c.yaml"
    path.write_text(yaml.safe_dump(COPY))
    return llamactl("apply", "-f", path, "--wait", *more)


def test_apply_waits_for_a_copy(llamactl: Run, api: Fake, tmp_path: Path) -> None:
    done = [condition("Ready", "True", "Published")]
    api.put(f"{WEIGHTS}/c", {**COPY, "status": {"conditions": done}})
    api.rules.append(takes_patches)
    result = _apply(llamactl, tmp_path, "-o", "json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["status"]["conditions"] == done


@pytest.mark.parametrize(
    ("reason", "code", "words"),
    [
        ("LicenceNotAccepted", 1, "c will not become ready: LicenceNotAccepted"),
        ("Checking", 3, "c is not ready after"),
    ],
)
def test_apply_ends_as_the_copy_does(
    llamactl: Run, api: Fake, tmp_path: Path, reason: str, code: int, words: str
) -> None:
    found = [condition("Accessible", "False", reason, "said")]
    api.put(f"{WEIGHTS}/c", {**COPY, "status": {"conditions": found}})
    api.rules.append(takes_patches)
    result = _apply(llamactl, tmp_path, "--timeout", "0s")
    assert result.exit_code == code
    assert words in result.stderr

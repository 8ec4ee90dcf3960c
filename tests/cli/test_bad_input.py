"""What goes wrong on the way to a cluster and at the terminal, one case each; more in test_errors."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cli.conftest import DEPLOYMENTS, PODS, WEIGHTS, Run
from tests.cli.engine_stub import Engine
from tests.cli.fake_api import Answer, Fake, status
from tests.cli.objects import condition, pod, ready, weights
from tests.cli.patching import takes_patches

Object = dict[str, Any]


def answer_all(api: Fake, code: int, body: Any) -> None:
    api.rules.append(lambda *_: (code, body))


# -- no permission --------------------------------------------------------------------------------


def documents(stderr: str) -> list[Object]:
    """The manifests of an error, as they would be pasted."""
    text = stderr.split("Ask whoever may to apply this:\n")[1].split("\nThen see", maxsplit=1)[0]
    return list(yaml.safe_load_all(text))


@pytest.mark.parametrize(
    ("user", "subject"),
    [
        ("jane@example.com",
         {"kind": "User", "name": "jane@example.com", "apiGroup": "rbac.authorization.k8s.io"}),
        ("system:serviceaccount:ci:bot",
         {"kind": "ServiceAccount", "namespace": "ci", "name": "bot"}),
    ],
)  # fmt: skip
def test_no_permission_gives_the_role_to_apply(
    llamactl: Run, api: Fake, user: str, subject: Object
) -> None:
    said = f'llamadeployments.llamactl.dev is forbidden: User "{user}" cannot list resource'
    answer_all(api, 403, status(403, "Forbidden", said))
    result = llamactl("list", "-n", "team")
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: you may not list llamadeployments.llamactl.dev in ")
    role, binding = documents(result.stderr)
    assert role["kind"] == "Role"
    assert role["metadata"]["namespace"] == binding["metadata"]["namespace"] == "team"
    assert role["rules"] == [
        {"apiGroups": ["llamactl.dev"], "resources": ["llamadeployments"], "verbs": ["list"]}
    ]
    assert binding["roleRef"]["name"] == role["metadata"]["name"]
    assert binding["subjects"] == [subject]


def test_for_all_namespaces_it_is_a_cluster_role(llamactl: Run, api: Fake) -> None:
    answer_all(api, 403, status(403, "Forbidden", 'User "u" cannot list resource'))
    result = llamactl("list", "-A")
    assert [each["kind"] for each in documents(result.stderr)] == [
        "ClusterRole", "ClusterRoleBinding"
    ]  # fmt: skip
    assert "can-i list llamadeployments.llamactl.dev --all-namespaces" in result.stderr


def test_the_verb_is_the_one_that_the_server_names(llamactl: Run, api: Fake) -> None:
    """To apply what is not there yet is a PATCH that takes the right to create."""

    def rule(_: Fake, method: str, __: str, ___: Object) -> Answer | None:
        said = 'User "u" cannot create resource "llamadeployments"'
        return (403, status(403, "Forbidden", said)) if method == "PATCH" else None

    api.rules.append(rule)
    result = llamactl("deploy", "8b", "--gpu", "L4")
    assert "you may not create llamadeployments.llamactl.dev" in result.stderr
    assert documents(result.stderr)[0]["rules"][0]["verbs"] == ["create"]


# -- CRDs that are missing, older, newer ----------------------------------------------------------

OLDER = (
    (["deploy", "8b", "--gpu=L4", "--set=startup.budget=1h"], 500,
     "failed to create typed patch object (n/x; llamactl.dev/v1alpha1, Kind=LlamaDeployment): "
     ".spec.startup: field not declared in schema"),
    (["set", "my-llama", "startup.budget=1h"], 400,
     'patch: strict decoding error: unknown field "spec.startup"'),
)  # fmt: skip


@pytest.mark.parametrize(("args", "code", "said"), OLDER)
def test_older_crds_are_named_with_the_command(
    llamactl: Run, api: Fake, args: list[str], code: int, said: str
) -> None:
    """In the words of a real API server 1.36."""
    api.put(f"{DEPLOYMENTS}/my-llama", ready())
    refusal = status(code, "BadRequest", said)
    api.rules.append(lambda _, method, *__: (code, refusal) if method == "PATCH" else None)
    result = llamactl(*args)
    assert result.exit_code == 1
    assert "spec.startup: the LlamaDeployment of this cluster has no such field" in result.stderr
    assert "llamactl crds apply --dry-run=server" in result.stderr


def test_crds_of_another_version_are_not_called_missing(llamactl: Run, api: Fake) -> None:
    def rule(_: Fake, __: str, path: str, ___: Object) -> Answer | None:
        if path == "/apis/llamactl.dev":
            return 200, {"versions": [{"version": "v1beta1"}]}
        return (404, "404 page not found") if "v1alpha1" in path else None

    api.rules.append(rule)
    result = llamactl("weights", "ls")
    assert result.exit_code == 1
    assert "serves llamactl.dev in v1beta1, and this command speaks v1alpha1" in result.stderr
    assert "llamactl version" in result.stderr


def test_objects_of_newer_crds_are_shown(llamactl: Run, api: Fake) -> None:
    newer = ready(spec={"hologram": {"size": 3}}, status={"hologram": "on"})
    newer["status"]["conditions"].append(condition("Holographic", "True", "On", "shines"))
    api.put(f"{DEPLOYMENTS}/my-llama", newer)
    assert "Holographic" in llamactl("status", "my-llama").stdout
    assert llamactl("list").exit_code == 0


# -- names ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", [["plan"], ["deploy", "--dry-run=client"],
                                     ["weights", "add", "--dry-run=client"]])  # fmt: skip
def test_a_short_name_that_fits_several_lists_them(llamactl: Run, command: list[str]) -> None:
    result = llamactl(*command, "3b")
    assert result.exit_code == 0, result.output
    words = "3b -> llama-3.2-3b-instruct (it also fits llama-3.2-3b)"
    assert words in result.output
    assert "(it also fits" not in llamactl(*command, "llama-3.2-3b-instruct").output


def test_many_are_counted(llamactl: Run) -> None:
    found = llamactl("deploy", "70b", "--dry-run=client").stderr
    assert re.search(r"70b -> llama-3.3-70b-instruct \(it also fits \S+, \S+ and \d+ more\)", found)


def test_context_typo_offers_the_nearest_of_many(llamactl: Run, api: Fake, tmp_path: Path) -> None:
    path = api.kubeconfig(tmp_path)
    document = yaml.safe_load(path.read_text())
    for name in ("staging", "production-eu", "production-us"):
        document["contexts"].append({"name": name, "context": {"cluster": "c"}})
    path.write_text(yaml.safe_dump(document))
    result = llamactl("list", "--context", "prodction-eu")
    assert result.exit_code == 1
    assert re.search(r"There is production-eu\b", result.stderr)
    assert "staging" not in result.stderr
    assert api.asked == []


def test_a_name_that_is_taken(llamactl: Run, api: Fake) -> None:
    api.rules.append(takes_patches)
    api.put(f"{DEPLOYMENTS}/mine", ready("mine"))
    result = llamactl("deploy", "3b", "--gpu=L4", "--name=mine")
    assert result.exit_code == 1
    assert "mine exists already, for llama-3.1-8b-instruct, and this would change it" in (
        result.stderr
    )
    assert "--overwrite" in result.stderr
    assert api.objects[f"{DEPLOYMENTS}/mine"] == ready("mine")


# -- the terminal ---------------------------------------------------------------------------------


@pytest.fixture
def busy(api: Fake) -> Fake:
    """One of each kind, with long names and messages."""
    long = "The kubelet says: " + "a sentence that goes on and on, " * 8
    name = "llama-3-3-70b-instruct-for-the-team"
    found = ready(name, status={"observed": {"kvTokens": 1_300_000, "vllmVersion": "0.32.0"},
                                "coldStart": {"pod": f"{name}-0", "scheduledSeconds": 2,
                                              "imageSeconds": 40, "loadSeconds": 61,
                                              "compileSeconds": 24, "graphsSeconds": 9,
                                              "firstTokenSeconds": 160},
                                "observedGeneration": 1})  # fmt: skip
    found["status"]["conditions"][-1] = condition("Degraded", "True", "CrashLooping", long)
    api.put(f"{DEPLOYMENTS}/{name}", found)
    api.put(f"{PODS}/{name}-0", pod(f"{name}-0", name, is_ready=False))
    api.put(f"{WEIGHTS}/llama-70b-abc", weights(status={"bytes": 1 << 37}))
    about = {"kind": "Pod", "name": f"{name}-0"}
    event = {"type": "Warning", "reason": "BackOff", "message": long, "involvedObject": about}
    api.put("/api/v1/namespaces/n/events/e", event)
    api.put("/version", {"gitVersion": "v1.36.3"})
    api.put("/apis/llamactl.dev", {"versions": [{"version": "v1alpha1"}]})
    return api


PAGES = (
    "list", "weights ls", "status llama-3-3-70b-instruct-for-the-team",
    "doctor llama-3-3-70b-instruct-for-the-team", "doctor cluster",
    "models", "models --all", "models show 70b", "models compare 8b 70b",
    "plan 70b --gpu H100", "plan 70b --gpu H100 --explain", "plan 70b", "version",
)  # fmt: skip


@pytest.mark.parametrize("page", PAGES)
def test_pages_fit(llamactl: Run, busy: Fake, page: str) -> None:
    for columns in (60, 80, 100):
        result = llamactl(*page.split(), env={"COLUMNS": str(columns)})
        assert "Traceback" not in result.output
        lines = result.stdout.splitlines()
        assert len(lines) > 1
        assert [line for line in lines if len(line) > columns] == [], columns


@pytest.mark.parametrize("args", [["logs", "my-llama"], ["chat", "my-llama", "hello"]])  # fmt: skip
def test_a_reader_that_is_gone_ends_it_quietly(engine: Engine, api: Fake, args: list[str]) -> None:
    api.rules.append(lambda _, __, path, ___: (200, "x\n" * 9) if path.endswith("/log") else None)
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "llamactl", *args]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")

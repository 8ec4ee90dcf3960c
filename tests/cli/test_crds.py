"""crds apply: installed, upgraded, and never taken back unasked."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from llama_operator.api import crd
from llamactl import crds
from tests.cli.conftest import Run
from tests.cli.fake_api import Answer, Fake
from tests.cli.patching import takes_patches, writes

ROOT = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
LLAMAS = f"{ROOT}/llamadeployments.llamactl.dev"
COPIES = f"{ROOT}/llamaweights.llamactl.dev"
ESTABLISHED = {"conditions": [{"type": "Established", "status": "True"}]}


@pytest.fixture
def cluster(api: Fake) -> Fake:
    """Takes patches, and serves what was made."""

    def established(fake: Fake, method: str, path: str, _: dict[str, Any]) -> Answer | None:
        if method == "GET" and path in fake.objects:
            return 200, {**fake.objects[path], "status": ESTABLISHED}
        return None

    api.rules += [takes_patches, established]
    return api


def stored(api: Fake) -> dict[str, Any]:
    """Ours as the cluster has it, to be changed."""
    for each in crd.all_crds():
        api.put(f"{ROOT}/{each['metadata']['name']}", copy.deepcopy(each))
    return api.objects[LLAMAS]


def spec_of(found: dict[str, Any]) -> dict[str, Any]:
    schema = found["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    properties: dict[str, Any] = schema["properties"]["spec"]["properties"]
    return properties


def test_both_are_installed_by_server_side_apply(llamactl: Run, cluster: Fake) -> None:
    result = llamactl("crds", "apply")
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines() == [
        f"customresourcedefinition.apiextensions.k8s.io/{path.rsplit('/', 1)[1]} created"
        for path in (LLAMAS, COPIES)
    ]
    assert writes(cluster) == [LLAMAS, COPIES]
    patches = [path for method, path in cluster.asked if method == "PATCH"]
    assert all("fieldManager=llamactl" in path and "force" not in path for path in patches)
    assert cluster.objects[LLAMAS]["spec"] == crd.deployment_crd()["spec"]


def test_the_same_are_unchanged(llamactl: Run, cluster: Fake) -> None:
    stored(cluster)
    result = llamactl("crds", "apply")
    assert [line.split()[1] for line in result.stdout.splitlines()] == ["unchanged", "unchanged"]
    assert result.stderr == ""


def test_an_older_one_is_said_to_be_and_upgraded(llamactl: Run, cluster: Fake) -> None:
    there = stored(cluster)
    del spec_of(there)["rollout"], spec_of(there)["sizing"]["properties"]["maxModelLen"]
    result = llamactl("crds", "apply")
    assert result.exit_code == 0, result.output
    assert (
        "llamadeployments.llamactl.dev in the cluster is older: it lacks spec.rollout, "
        "spec.sizing.maxModelLen." in result.stderr
    )
    assert result.stdout.splitlines()[0].endswith(" changed")
    assert "rollout" in spec_of(cluster.objects[LLAMAS])


def test_a_newer_one_is_not_taken_back_unasked(llamactl: Run, cluster: Fake) -> None:
    # The second of the two: the first must not have been written either.
    stored(cluster)
    there = cluster.objects[COPIES]
    spec_of(there)["mirror"] = {"type": "object", "properties": {"url": {"type": "string"}}}
    result = llamactl("crds", "apply")
    assert result.exit_code == 1
    assert "llamaweights.llamactl.dev in the cluster is newer: it has spec.mirror." in result.stderr
    assert "--downgrade" in result.stderr
    assert writes(cluster) == []
    assert llamactl("crds", "apply", "--downgrade").exit_code == 0


def test_a_newer_version_of_the_api_is_newer() -> None:
    ours = crd.weights_crd()
    theirs = copy.deepcopy(ours)
    theirs["spec"]["versions"].append({"name": "v1", "schema": {}})
    found = crds.age(ours, theirs)
    assert found.knows == ["version v1"]
    assert not found.lacks


def test_a_dry_run_writes_nothing(llamactl: Run, cluster: Fake) -> None:
    result = llamactl("crds", "apply", "--dry-run=server")
    assert result.stdout.count("created (server dry run)") == 2
    assert writes(cluster) == []


def test_one_that_is_never_served_is_not_ready_in_time(llamactl: Run, api: Fake) -> None:
    api.rules.append(takes_patches)
    result = llamactl("crds", "apply", "--timeout", "0s")
    assert result.exit_code == 3
    assert "llamadeployments.llamactl.dev is not served after 0s" in result.stderr

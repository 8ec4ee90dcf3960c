"""What a release says of itself: provenance, indices, the chart's texts, notes."""

from __future__ import annotations

import json
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from images.release import changelog, chart_text, notes, oci, provenance
from images.release.chart_text import SignKey
from images.release.provenance import Material, Run
from images.release.wanted import Wanted

from llama_operator.chart.generate import CHART
from llama_operator.chart.values import Values

REPOSITORY = "registry.example.com/team/llama-operator"
DIGEST = "sha256:" + "d" * 64
WHEN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
RUN = Run("https://ci.example.com", "https://example.com/x.git", "c" * 40, "1.2.3", 7, WHEN, WHEN)
VALUES = (CHART / "values.yaml").read_text()


def test_provenance_is_slsas_first_version() -> None:
    materials = [Material("pkg:pypi/b@1", "b" * 64), Material("pkg:pypi/a@1", "a" * 64)] * 2
    made = provenance.predicate(RUN, "operator", ["linux/arm64"], materials)
    definition, details = made["buildDefinition"], made["runDetails"]
    commit, *rest = definition["resolvedDependencies"]
    assert commit["digest"] == {"gitCommit": "c" * 40}
    assert commit["uri"] == "git+https://example.com/x.git@" + "c" * 40
    assert [each["uri"] for each in rest] == ["pkg:pypi/a@1", "pkg:pypi/b@1"]
    assert rest[0]["digest"] == {"sha256": "a" * 64}
    assert definition["externalParameters"]["platforms"] == ["linux/arm64"]
    assert definition["buildType"].startswith("https://")
    assert details["builder"]["id"] == "https://ci.example.com"
    assert details["metadata"]["startedOn"] == "2026-01-02T03:04:05Z"


def test_a_base_and_the_packages_are_materials_by_digest() -> None:
    assert provenance.base("example.com/python:3@sha256:" + "a" * 64) == Material(
        "docker://example.com/python:3", "a" * 64
    )
    listed = {
        "components": [{"name": "base"}, {"purl": "pkg:pypi/a@1", "hashes": [{"content": "1"}]}]
    }
    assert provenance.packages(listed) == [Material("pkg:pypi/a@1", "1")]


def test_an_index_is_the_same_however_its_images_came() -> None:
    one, two = oci.Image("sha256:1", 1), oci.Image("sha256:2", 2)
    made = oci.index({"arm64": two, "amd64": one})
    assert made == oci.index({"amd64": one, "arm64": two})
    assert [each["platform"] for each in json.loads(made)["manifests"]] == [
        {"architecture": "amd64", "os": "linux"},
        {"architecture": "arm64", "os": "linux"},
    ]


def test_the_layer_of_a_chart_is_found_among_others() -> None:
    layers = [{"mediaType": "prov", "digest": "x"}, {"mediaType": oci.CHART_LAYER, "digest": "y"}]
    assert oci.layer({"layers": layers}, oci.CHART_LAYER) == "y"
    assert oci.layer({}, oci.CHART_LAYER) == ""


def test_values_differ_in_images_alone() -> None:
    images = {"operator": (REPOSITORY, DIGEST), "weights": ("r.example/llama-weights", DIGEST)}
    made = chart_text.values(VALUES, images)
    whole: dict[str, Any] = yaml.safe_load(made)
    Values.model_validate(whole)
    assert whole["image"]["repository"] == REPOSITORY
    assert whole["image"]["digest"] == DIGEST
    assert whole["weights"]["image"] == {"repository": "r.example/llama-weights", "tag": "",
                                         "digest": DIGEST}  # fmt: skip
    changed = [line for line in made.splitlines() if line not in VALUES.splitlines()]
    assert len(changed) == 4
    assert len(made.splitlines()) == len(VALUES.splitlines())


@pytest.mark.parametrize("path", [("image", "none"), ("none",), ("image", "repository", "x")])
def test_a_value_that_is_not_there_is_an_error(path: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match=rf"no {'.'.join(path)}"):
        chart_text.replaced(VALUES, path, "x")


def test_the_chart_names_its_images_and_its_key() -> None:
    before = (CHART / "Chart.yaml").read_text()
    key = SignKey("ABCD", "https://example.com/key.asc")
    made = yaml.safe_load(chart_text.chart(before, {"a": f"r/a@{DIGEST}"}, ["linux/arm64"], key))
    annotations = made["annotations"]
    assert yaml.safe_load(annotations["artifacthub.io/images"]) == [
        {"name": "a", "image": f"r/a@{DIGEST}", "platforms": ["linux/arm64"]}
    ]
    assert yaml.safe_load(annotations["artifacthub.io/signKey"]) == {
        "fingerprint": "ABCD", "url": "https://example.com/key.asc",
    }  # fmt: skip
    kept = {name: text for name, text in annotations.items() if "images" not in name}
    assert kept.items() >= yaml.safe_load(before)["annotations"].items()
    unsigned = chart_text.chart(before, {}, [], None)
    assert "signKey" not in unsigned


@pytest.mark.parametrize(
    "heading", ["## 1.0.0", "## 1.0.0 - 2026-01-01", "## [1.0.0] - 2026-01-01"]
)
def test_notes_are_the_section_of_the_version(heading: str) -> None:
    text = (
        f"# Changelog\n\n## Unreleased\n- soon\n\n{heading}\n\n### Added\n- it\n\n## 0.9.0\n- old\n"
    )
    assert changelog.section(text, "1.0.0") == "### Added\n- it"
    assert changelog.section(text, "1.0") == ""
    assert changelog.section(text, "0.9.0") == "- old"


@pytest.mark.parametrize(("tlog", "unlogged"), [(False, True), (True, False)])
def test_notes_say_how_to_verify(tlog: bool, unlogged: bool) -> None:
    wanted = Wanted("1.0.0", "r.example", "k", "b", tlog=tlog)
    made = notes.text(wanted, "- it", {REPOSITORY: f"{REPOSITORY}@{DIGEST}"})
    assert f"| {REPOSITORY} | `{REPOSITORY}@{DIGEST}` |" in made
    (line,) = [each for each in made.splitlines() if "cosign verify" in each]
    assert line.endswith(f"{REPOSITORY}@{DIGEST}")
    assert ("--insecure-ignore-tlog" in line) is unlogged
    identity = notes.text(Wanted("1.0.0", "r", "keyless", "b", tlog=True), "", {"a": "b"})
    assert "--key" not in identity


def test_checksums_are_those_that_sha256sum_checks(tmp_path: Path) -> None:
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    (tmp_path / "a").touch()
    (tmp_path / "SUMS").write_text(notes.checksums({"a": empty}))
    command = ["sha256sum", "--check", "--strict", "SUMS"]
    assert subprocess.run(command, cwd=tmp_path, capture_output=True, check=False).returncode == 0
    (tmp_path / "a").write_text("x")
    assert subprocess.run(command, cwd=tmp_path, capture_output=True, check=False).returncode == 1

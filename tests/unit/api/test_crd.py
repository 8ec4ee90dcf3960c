"""The CRD objects and the files that are kept of them."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from llama_operator.api import crd


def columns(made: dict[str, Any], *, wide: bool) -> list[str]:
    version = made["spec"]["versions"][0]
    return [
        each["name"]
        for each in version["additionalPrinterColumns"]
        if wide or not each.get("priority")
    ]


def test_names_that_people_type() -> None:
    deployment, weights = (each["spec"]["names"] for each in crd.all_crds())
    assert (deployment["plural"], deployment["shortNames"]) == (
        "llamadeployments",
        ["llama", "llamas"],
    )
    assert (weights["plural"], weights["singular"], weights["shortNames"]) == (
        "llamaweights",
        "llamaweight",
        ["lw"],
    )
    assert deployment["categories"] == weights["categories"] == ["inference"]


def test_columns() -> None:
    deployment, weights = crd.all_crds()
    assert columns(deployment, wide=False) == ["Ready", "Replicas", "Model", "GPUs", "Age"]
    assert {"TP", "Reason", "Endpoint"} <= set(columns(deployment, wide=True))
    assert columns(weights, wide=False) == [
        "Ready",
        "Model",
        "Source",
        "Progress",
        "Size",
        "Used",
        "Age",
    ]


def test_text_is_deterministic_plain_and_small_enough_to_apply() -> None:
    for made in crd.all_crds():
        text = crd.to_yaml(made)
        assert text == crd.to_yaml(made)
        assert yaml.safe_load(text) == made
        assert "&id" not in text
        # kubectl's client-side apply keeps a copy in an annotation of at most 256 KiB.
        assert len(text) < 200_000


def test_committed_files_are_as_generated() -> None:
    found = {path.name: path.read_text() for path in crd.CRD_DIRECTORY.glob("*.yaml")}
    assert found == crd.files()


def run(*args: str) -> Any:
    return CliRunner().invoke(crd.main, list(args))


def test_check_accepts_what_write_wrote(tmp_path: Path) -> None:
    target = tmp_path / "crds"
    assert run("--write", "--directory", str(target)).exit_code == 0
    assert run("--check", "--directory", str(target)).exit_code == 0


@pytest.mark.parametrize("damage", ["edited", "missing", "extra"])
def test_check_names_the_file_that_differs(tmp_path: Path, damage: str) -> None:
    run("--write", "--directory", str(tmp_path))
    victim = tmp_path / "llamaweights.llamactl.dev.yaml"
    if damage == "edited":
        victim.write_text(victim.read_text().replace("maximum: 64", "maximum: 65"))
    elif damage == "missing":
        victim.unlink()
    else:
        victim = tmp_path / "stray.yaml"
        victim.write_text("kind: Stray\n")
    result = run("--check", "--directory", str(tmp_path))
    assert result.exit_code == 1
    assert victim.name in result.output
    assert "make generate" in result.output

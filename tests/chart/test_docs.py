"""Every helm command and every piece of values in the documents does what it says."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from llama_operator.chart.generate import CHART
from llama_operator.chart.values import Values
from llama_operator.reconcile.scaling import INSTALL
from tests.chart.helm import helm, rendered
from tests.docs import markdown

Object = dict[str, Any]
PAGES = [*markdown.pages(), CHART / "README.md"]
# Flags of an installation that `helm template` does not have.
_LIVE = {"--reuse-values", "--take-ownership", "--force-conflicts", "--install"}


def commands() -> list[tuple[str, list[str]]]:
    """Page and words of every command line of helm."""
    return [
        (page.name, shlex.split(line, comments=True)[1:])
        for page in PAGES
        for language, block in markdown.blocks(page.read_text())
        for line in block.replace("\\\n", " ").splitlines()
        if language in ("", "sh") and line.strip().startswith("helm ")
    ]


def installs() -> list[list[str]]:
    """Name, chart and flags of what installs or upgrades."""
    return [
        [word for word in words[1:] if word not in _LIVE]
        for _, words in commands()
        # A chart of somebody else comes from a repository or a registry.
        if words[0] in ("install", "upgrade")
        and "--repo" not in words
        and not any(word.startswith("oci://") for word in words)
    ]


@pytest.mark.parametrize("words", installs(), ids=" ".join)
def test_installs_in_the_documents_render(words: list[str]) -> None:
    assert words[1] == "charts/llama-operator"
    helm("template", words[0], str(CHART), *words[2:], "--set=crds.enabled=false")


def test_the_command_for_keda_is_that_of_the_condition() -> None:
    others = [" ".join(["helm", *words]) for _, words in commands() if "--repo" in words]
    assert others == [INSTALL]


def test_other_commands_are_helms_own() -> None:
    names = {words[0] for _, words in commands()}
    assert names == {"install", "upgrade", "uninstall", "test", "rollback", "pull", "verify"}
    assert len(installs()) >= 5


def test_flags_of_a_live_upgrade_exist() -> None:
    known = helm("upgrade", "--help")
    used = {word for _, words in commands() for word in words if word in _LIVE}
    assert used == _LIVE
    assert all(flag in known for flag in used)


def values() -> list[Object]:
    """Values in the page on the chart."""
    page = Path(CHART.parents[1] / "docs" / "install.md")
    blocks = [text for language, text in markdown.blocks(page.read_text()) if language == "yaml"]
    found = [yaml.safe_load(text) for text in blocks]
    return [each for each in found if set(each) <= set(named())]


def named() -> set[str]:
    """First names of all values."""
    return {field.alias or name for name, field in Values.model_fields.items()}


def test_values_in_the_documents_render() -> None:
    assert len(values()) == 3
    for each in values():
        assert rendered(each) != rendered()

"""The chart's generated files: as generated, whole, and checked."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from llama_operator.chart import text
from llama_operator.chart.generate import CHART, files, main
from llama_operator.chart.schema import schema
from llama_operator.chart.values import Values
from llama_operator.rbac import CLUSTER, OWN_NAMESPACE, WATCHED, rules

Object = dict[str, Any]


def nodes(node: Object, path: str = "") -> Iterator[tuple[str, Object]]:
    for name, each in node.get("properties", {}).items():
        yield f"{path}{name}", each
        yield from nodes(each, f"{path}{name}.")


NODES = dict(nodes(schema()))


@pytest.mark.parametrize("name", files())
def test_committed_files_are_as_generated(name: str) -> None:
    assert (CHART / name).read_text() == files()[name], "run `make generate`"


def test_check_names_the_file_that_differs(tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    invoke = CliRunner().invoke
    where = f"--directory={tmp_path}"
    assert invoke(main, ["--write", where]).exit_code == 0
    assert invoke(main, ["--check", where]).exit_code == 0
    (tmp_path / "values.yaml").write_text("replicas: 9\n")
    result = invoke(main, ["--check", where])
    assert result.exit_code == 1
    assert "values.yaml not as generated. Run `make generate`" in result.output
    assert "README.md" not in result.output


def test_every_value_has_a_description_and_every_object_is_closed() -> None:
    assert len(NODES) > 100
    for path, node in NODES.items():
        assert node.get("description"), path
        if node.get("type") == "object":
            assert "additionalProperties" in node, path
    assert schema()["additionalProperties"] is False


def test_values_yaml_has_every_value_with_its_default_and_description() -> None:
    written = (CHART / "values.yaml").read_text()
    assert Values.model_validate(yaml.safe_load(written)) == Values()
    words = " ".join(line.strip(" #") for line in written.splitlines())
    for path, _, description in text.rows():
        assert description in words, path


def test_the_readme_has_a_row_for_every_value() -> None:
    written = (CHART / "README.md").read_text().splitlines()
    cells = {line.split("`")[1] for line in written if line.startswith("| `")}
    assert cells == {path for path, _, _ in text.rows()}


def test_the_schema_is_plain_json_schema() -> None:
    written = json.dumps(schema())
    assert "x-kubernetes" not in written
    assert "$ref" not in written
    # `format` is a word of the schema, and a value.
    assert NODES["log.format"]["enum"] == ["json", "text"]


def test_rights_are_the_tables() -> None:
    assert yaml.safe_load(files()["files/rbac.yaml"]) == {
        "watched": rules(WATCHED),
        "cluster": rules(CLUSTER),
        "ownNamespace": rules(OWN_NAMESPACE),
    }

"""Values: what the schema refuses, by name, and what it must not refuse."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from llama_operator.api import quantity
from llama_operator.chart.generate import CHART
from llama_operator.chart.schema import schema
from tests.chart.helm import Refused, helm, kinds, pod, rendered
from tests.docs.markdown import PROJECT

Object = dict[str, Any]


def parts(node: Object, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every place of the values that has names of its own."""
    if "properties" in node:
        yield path
    for name, each in node.get("properties", {}).items():
        yield from parts(each, (*path, name))


CLOSED = [path for path in parts(schema()) if "affinity" not in path]


def at(path: tuple[str, ...], value: Any) -> Object:
    for name in reversed(path):
        value = {name: value}
    return dict(value)


def merged(one: Any, other: Any) -> Any:
    if not (isinstance(one, dict) and isinstance(other, dict)):
        return other
    return {**one, **{key: merged(one.get(key), value) for key, value in other.items()}}


def test_a_typo_is_refused_by_name_wherever_it_stands() -> None:
    values: Object = {}
    for path in CLOSED:
        values = merged(values, at((*path, f"typo{len(path)}{path[-1] if path else ''}"), 1))
    with pytest.raises(Refused) as refused:
        rendered(values)
    said = str(refused.value)
    for path in CLOSED:
        name = f"typo{len(path)}{path[-1] if path else ''}"
        where = re.escape("/".join(("", *path)))
        assert re.search(rf"at '{where}': additional properties .*'{name}'", said), path
    assert len(CLOSED) > 25


WRONG: list[tuple[Object, str]] = [
    ({"operator": {"replicas": "two"}}, "/operator/replicas': got string, want integer"),
    ({"workers": 0}, "/workers': minimum: got 0, want 1"),
    ({"log": {"level": "verbose"}}, "/log/level': value must be one of 'debug', 'info'"),
    ({"image": {"digest": "sha256:12"}}, "/image/digest': 'sha256:12' does not match"),
    ({"weights": {"hubEndpoint": "hub.example.com"}}, "/weights/hubEndpoint'"),
    ({"proxy": {"https": "proxy:3128"}}, "/proxy/https'"),
    ({"watchNamespace": "Team_A"}, "/watchNamespace'"),
    ({"metrics": {"serviceMonitor": {"enabled": "yes"}}}, "/metrics/serviceMonitor/enabled'"),
    ({"operator": {"labels": {"a": 1}}}, "/operator/labels/a': got number, want string"),
    ({"operator": {"tolerations": [{"effct": "x"}]}}, "/operator/tolerations/0': additional"),
    (
        {"operator": {"extraEnv": [{"value": "x"}]}},
        "/operator/extraEnv/0': missing property 'name'",
    ),
    ({"operator": {"affinity": {"nodeAffinty": {}}}}, "/operator/affinity': additional"),
    # A star that would allow registry.example.com.evil.example as well.
    ({"admissionPolicy": {"images": ["registry.example.com*"]}}, "/admissionPolicy/images/0'"),
    ({"admissionPolicy": {"endpoints": ["https://hub*"]}}, "/admissionPolicy/endpoints/0'"),
    ({"admissionPolicy": {"collectors": ["http://otel*"]}}, "/admissionPolicy/collectors/0'"),
    ({"admissionPolicy": {"claims": ["llama*"]}}, "/admissionPolicy/claims/0'"),
    ({"admissionPolicy": {"secrets": ["hf*"]}}, "/admissionPolicy/secrets/0'"),
]


def test_wrong_values_are_refused_with_their_place() -> None:
    values: Object = {}
    for wrong, _ in WRONG:
        values = merged(values, wrong)
    with pytest.raises(Refused) as refused:
        rendered(values)
    said = str(refused.value)
    for _, place in WRONG:
        assert place in said, said


def test_values_of_the_file_are_the_defaults() -> None:
    text = (CHART / "values.yaml").read_text()
    values = {**yaml.safe_load(text), "crds": {"enabled": False}}
    assert rendered(values) == rendered()


def test_the_chart_can_be_a_part_of_another(tmp_path: Path) -> None:
    shutil.copytree(CHART, tmp_path / "charts" / "llama-operator")
    about = {"apiVersion": "v2", "name": "platform", "version": "1.0.0"}
    about["dependencies"] = [  # type: ignore[assignment]
        {"name": "llama-operator", "version": "0.1.0", "condition": "llama-operator.enabled"}
    ]
    (tmp_path / "Chart.yaml").write_text(yaml.safe_dump(about))
    own = {"enabled": True, "workers": 2, "crds": {"enabled": False}}
    values = {"global": {"region": "x"}, "llama-operator": own}
    text = helm("template", "p", str(tmp_path), "--values=-", given=json.dumps(values))
    assert "--workers=2" in text
    assert "Deployment" in kinds([each for each in yaml.safe_load_all(text) if each])


def test_the_operators_memory_is_what_the_bench_lets_it_take() -> None:
    budgets = yaml.safe_load((PROJECT / "tests/bench/operator_budgets.yaml").read_text())
    most = max(each.get("residentMiB", 0) for each in budgets["sizes"].values())
    limit = quantity.parse_bytes(pod(rendered())["containers"][0]["resources"]["limits"]["memory"])
    assert 1.25 * most * 2**20 <= limit <= 2 * most * 2**20

"""docs/upgrade.md against the code: which fields restart a server, and which do not."""

from __future__ import annotations

import re
from typing import Any

import pytest
from tests.docs import markdown
from tests.docs.markdown import PROJECT

from llama_operator.api.v1alpha1 import LlamaDeploymentSpec
from llama_operator.render.inputs import Copy
from llama_operator.render.revision import inputs_of

ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in markdown.section(
        (PROJECT / "docs/upgrade.md").read_text(), "## What restarts a server"
    ).splitlines()
    if line.startswith("| ")
]
HERE = Copy("llama", "claim", "path", 1)
BASE: dict[str, Any] = {"model": "llama-3.1-8b-instruct"}
# A value other than the default, for each field that the page names.
CHANGED: dict[str, Any] = {
    "replicas": 3,
    "paused": True,
    "disruption": {"maxUnavailable": 2},
    "retention": {"policy": "Retain"},
    "rollout": {"historyLimit": 1},
    "autoscaling": {"maxReplicas": 3, "targets": [{"metric": "WaitingRequests", "value": 5}]},
    "adapters": [{"name": "sql", "source": {"huggingFace": {"repo": "o/sql"}}}],
    "lora": {"enabled": True},
    "endpoint.networkPolicy": {"networkPolicy": {"enabled": False}},
    "endpoint.routing": {"routing": "PrefixAware"},
    "endpoint.httpRoute": {"httpRoute": {"parentRefs": [{"name": "public"}]}},
    "endpoint.ingress": {"ingress": {"host": "llama.example.com"}},
    "source": {"claim": {"name": "mine"}},
    "storage": {"size": "1Ti"},
    "weightsRef": {"name": "mine"},
    "model": "llama-3.3-70b-instruct",
    "gpu": {"count": 2},
    "sizing": {"maxModelLen": 1024},
    "engine": {"args": ["--seed=1"]},
    "auth": {"mode": "None"},
    "endpoint": {"port": 9000},
    "scheduling": {"nodeSelector": {"a": "b"}},
    "observability": {"otlpEndpoint": "http://collector.otel:4317"},
    "podMetadata.labels": {"labels": {"a": "b"}},
    "podMetadata.annotations": {"annotations": {"a": "b"}},
    "compileCache": {"storage": {}},
    "backend": "kserve",
    "kserve": {"resource": "LLMInferenceService"},
}


def named(cell: str) -> list[str]:
    return re.findall(r"`([a-zA-Z.]+)`", cell)


def inputs(field: str, copy: Copy = HERE) -> str:
    """The name of the revision with one field changed."""
    changed = {field.partition(".")[0]: CHANGED[field]} if field else {}
    return inputs_of(LlamaDeploymentSpec.model_validate({**BASE, **changed}), copy)


def fields_of(start: str) -> list[str]:
    return named(next(row[0] for row in ROWS if row[0].startswith(start)))


@pytest.mark.parametrize("start", ["`replicas`", "`paused`", "`source`"])
def test_what_is_said_to_restart_nothing_does_not(start: str) -> None:
    assert fields_of(start)
    for field in fields_of(start):
        assert inputs(field) == inputs(""), field


def test_what_is_said_to_replace_servers_does() -> None:
    fields = fields_of("any other field")
    assert len(fields) == 11
    for field in fields:
        assert inputs(field) != inputs(""), field


def test_another_back_end_makes_servers_anew() -> None:
    assert fields_of("`backend`") == ["backend", "kserve"]
    assert inputs("backend") != inputs("") != inputs("kserve")


def test_another_copy_restarts() -> None:
    assert inputs("", Copy("llama", "claim", "other", 1)) != inputs("")


def test_a_default_counts_as_not_written() -> None:
    written = LlamaDeploymentSpec.model_validate({**BASE, "endpoint": {"port": 8000}})
    assert inputs_of(written, HERE) == inputs("")


def test_no_field_of_the_spec_is_left_out_of_the_table() -> None:
    said = {field.partition(".")[0] for row in ROWS for field in named(row[0])}
    # "and so on": these restart as well.
    rest = {"startup", "drain", "runtimeClassName"}
    names = {info.alias or name for name, info in LlamaDeploymentSpec.model_fields.items()}
    assert names - said == rest

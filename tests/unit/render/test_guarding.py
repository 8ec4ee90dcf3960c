"""The guard in the pod: its code and keys are mounted, and nothing of a user's gets before it."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.builders import serving

from llama_operator import guard, sources, warmup
from llama_operator.api import labels
from llama_operator.api.reserved import reserved_args, reserved_env
from llama_operator.render import pod

Object = dict[str, Any]


def template(**spec: Any) -> Object:
    return pod.template(serving(**spec))


def engine(**spec: Any) -> Object:
    container: Object = template(**spec)["spec"]["containers"][0]
    return container


def env(**spec: Any) -> Object:
    return {entry["name"]: entry.get("value") for entry in engine(**spec)["env"]}


def volumes(**spec: Any) -> Object:
    return {each["name"]: each for each in template(**spec)["spec"]["volumes"]}


def mounts(**spec: Any) -> Object:
    return {each["name"]: each for each in engine(**spec)["volumeMounts"]}


def test_the_source_is_mounted_where_python_looks_for_it() -> None:
    assert template()["metadata"]["annotations"][labels.GUARD] == sources.carried(guard.FILE)
    items = volumes()["guard"]["downwardAPI"]["items"]
    assert {each["path"]: each["fieldRef"]["fieldPath"] for each in items} == {
        "llama_guard.py": "metadata.annotations['llamactl.dev/guard']",
        "llama_warm_up.py": "metadata.annotations['llamactl.dev/warm-up']",
    }
    assert mounts()["guard"] == {
        "name": "guard", "mountPath": env()["PYTHONPATH"], "readOnly": True,
    }  # fmt: skip
    assert "--middleware=llama_guard.Guard" in engine()["args"]


def test_the_keys_are_a_volume_and_never_a_value() -> None:
    assert volumes()["api-keys"]["secret"] == {"secretName": "web-api-key"}
    assert volumes(auth={"secretName": "mine"})["api-keys"]["secret"] == {"secretName": "mine"}
    assert mounts()["api-keys"]["mountPath"] == env()["LLAMA_GUARD_KEYS"]
    assert mounts()["api-keys"]["readOnly"] is True
    assert "VLLM_API_KEY" not in env()


def test_without_keys_the_guard_stands_all_the_same() -> None:
    spec: Object = {"auth": {"mode": "None"}}
    assert env(**spec)["LLAMA_GUARD_KEYS"] == "none"
    assert "guard" in volumes(**spec)
    assert "api-keys" not in {*volumes(**spec), *mounts(**spec)}
    assert "--middleware=llama_guard.Guard" in engine(**spec)["args"]


@pytest.mark.parametrize("name", ["PYTHONPATH", "LLAMA_GUARD_KEYS"])
def test_a_users_variable_neither_passes_nor_wins(name: str) -> None:
    assert reserved_env([name]) == [name]
    # As if a CRD of another version had let it through.
    theirs: Object = {"engine": {"env": [{"name": name, "value": "/models/evil"}]}}
    assert env(**theirs) == env()
    assert len({entry["name"] for entry in engine(**theirs)["env"]}) == len(engine()["env"])


@pytest.mark.parametrize(
    "arg", ["--middleware", "--middleware=a.B", "--middle=a.B", "--api-key", "--api_key=x"]
)
def test_a_users_middleware_or_key_is_refused(arg: str) -> None:
    # vLLM puts the middleware that is named last before all others.
    assert reserved_args([arg]) == [arg]


def test_users_keep_their_annotations() -> None:
    made = template(podMetadata={"annotations": {"team": "a"}})["metadata"]["annotations"]
    ours = {labels.GUARD: guard.FILE, labels.WARM_UP: warmup.FILE}
    assert made == {"team": "a"} | {name: sources.carried(file) for name, file in ours.items()}


def test_the_guard_stands_before_the_warm_up() -> None:
    # vLLM puts the one that is named last before all others.
    found = [arg for arg in engine()["args"] if arg.startswith("--middleware")]
    assert found == ["--middleware=llama_warm_up.WarmUp", "--middleware=llama_guard.Guard"]


def test_without_a_warm_up_nothing_of_it_is_in_the_pod() -> None:
    cold: Object = {"startup": {"warmUp": False}}
    assert list(template(**cold)["metadata"]["annotations"]) == [labels.GUARD]
    assert [item["path"] for item in volumes(**cold)["guard"]["downwardAPI"]["items"]] == [
        "llama_guard.py"
    ]
    assert [arg for arg in engine(**cold)["args"] if "middleware" in arg] == [
        "--middleware=llama_guard.Guard"
    ]

"""Termination messages come from a program that parses strangers' bytes: nothing is believed unchecked."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llama_operator.diagnose import results

SHAPE = {
    "architecture": "LlamaForCausalLM",
    "numLayers": 2,
    "hiddenSize": 128,
    "numAttentionHeads": 4,
    "numKVHeads": 2,
    "headDim": 32,
    "intermediateSize": 256,
    "vocabSize": 1024,
    "maxPosition": 2048,
    "tiedEmbeddings": True,
    "dtype": "bfloat16",
    "quantization": "",
}
GOOD: dict[str, Any] = {
    "ok": True,
    "commit": "0" * 40,
    "digest": "sha256:" + "a" * 64,
    "bytes": 12,
    "files": 3,
    "format": "safetensors",
    "shape": SHAPE,
}


def test_a_good_result_is_taken_as_it_is() -> None:
    found = results.parse(json.dumps(GOOD), "Downloaded")
    assert found.failure is None
    assert found.values == {key: value for key, value in GOOD.items() if key != "ok"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("commit", "main"),
        ("commit", "0" * 39 + "G"),
        ("digest", "sha256:../../etc"),
        ("bytes", -1),
        ("bytes", True),
        ("bytes", 1 << 60),
        ("files", "3"),
        ("format", "a b"),
        ("shape", {**SHAPE, "numLayers": "80"}),
        ("shape", {**SHAPE, "architecture": "<script>"}),
        ("shape", []),
    ],
)
def test_a_field_out_of_form_is_a_failure_that_names_it(name: str, value: Any) -> None:
    found = results.parse(json.dumps({**GOOD, name: value}), "Downloaded")
    assert found.failure is not None
    assert name in found.failure.message
    assert not found.values


def test_a_refusal_is_passed_on_in_its_own_words() -> None:
    text = json.dumps(
        {"ok": False, "reason": "TokenMissing", "message": "no token\x1b[31m\nat all"}
    )
    found = results.parse(text, "Accessible")
    assert found.failure is not None
    assert (found.failure.type, found.failure.reason) == ("Accessible", "TokenMissing")
    assert found.failure.message == "no token [31m at all", "control characters end at this point"


@pytest.mark.parametrize("condition", ["Ready", "Planned", 7, None])
def test_a_refusal_cannot_choose_any_condition(condition: Any) -> None:
    text = json.dumps({"ok": False, "condition": condition, "reason": "Published", "message": "x"})
    found = results.parse(text, "Downloaded")
    assert found.failure is not None
    assert (found.failure.type, found.failure.reason) == ("Downloaded", "Failed")


@given(
    st.text()
    | st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists).map(json.dumps)
)
def test_no_message_at_all_can_raise_or_publish(text: str) -> None:
    found = results.parse(text, "Downloaded")
    assert found.failure is not None
    assert found.failure.status == "False"


def _pod(finished: str, message: str) -> dict[str, Any]:
    state = {"terminated": {"finishedAt": finished, "message": message, "exitCode": 0}}
    return {"status": {"containerStatuses": [{"state": state}]}}


def test_the_newest_pod_of_a_job_speaks() -> None:
    old = _pod(
        "2026-01-01T00:00:00Z", json.dumps({"ok": False, "reason": "ServerError", "message": "x"})
    )
    new = _pod("2026-01-01T00:01:00Z", json.dumps(GOOD))
    found = results.read([new, old], "Downloaded")
    assert found is not None
    assert found.failure is None


def test_a_pod_that_still_runs_says_nothing() -> None:
    assert (
        results.read(
            [{"status": {"containerStatuses": [{"state": {"running": {}}}]}}], "Downloaded"
        )
        is None
    )


ADAPTER: dict[str, Any] = {
    "rank": 8,
    "base": "o/base",
    "layers": 2,
    "modules": [{"name": "q_proj", "inputs": 4, "outputs": 8}],
}


def test_an_adapter_is_taken_as_it_is() -> None:
    found = results.parse(json.dumps({"ok": True, "adapter": ADAPTER}), "Accessible")
    assert found.values == {"adapter": ADAPTER}


@pytest.mark.parametrize(
    "change",
    [
        {"rank": -1},
        {"rank": "8"},
        {"layers": None},
        {"modules": []},
        {"modules": [{"name": "q_proj", "inputs": 4}]},
        {"modules": [{"name": "q proj!", "inputs": 4, "outputs": 8}]},
        {"modules": ADAPTER["modules"] * 17},
        {"modules": "q_proj"},
    ],
)
def test_an_adapter_out_of_form_is_a_failure(change: dict[str, Any]) -> None:
    text = json.dumps({"ok": True, "adapter": {**ADAPTER, **change}})
    found = results.parse(text, "Accessible", needed=("adapter",))
    assert found.failure is not None
    assert "bad adapter" in found.failure.message


def test_the_name_of_a_base_is_printable_and_short() -> None:
    said = {**ADAPTER, "base": "x\n" + "y" * 900}
    found = results.parse(json.dumps({"ok": True, "adapter": said}), "Accessible")
    assert found.values["adapter"]["base"] == "x" + "y" * 198

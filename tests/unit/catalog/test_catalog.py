"""The catalogue: complete, right in its numbers, and found by the names that people use."""

from __future__ import annotations

import json
from typing import Any

import pytest

from llama_operator.api.errors import LlamaError, UnknownModel
from llama_operator.catalog import catalog, compile
from llama_operator.planner.checkpoint import checkpoint_bytes

CATALOG = catalog.load()
SIXTEEN_BITS = [each for each in CATALOG if each.servable and not each.shape.quantized]


def test_it_holds_every_public_checkpoint() -> None:
    assert len(CATALOG) == 63
    assert {each.generation for each in CATALOG} == {
        "1", "2", "code", "3", "3.1", "3.2", "3.3", "4", "guard",
    }  # fmt: skip


def test_what_vllm_cannot_load_is_refused_with_a_reason() -> None:
    refused = {each.id: each.refusal for each in CATALOG if not each.servable}
    assert len(refused) == 12
    assert "never released" in refused["llama-2-34b"]
    assert "0.10.2" in refused["llama-3.2-11b-vision-instruct"]
    assert "phones" in refused["llama-3.2-1b-instruct-spinquant_int4_eo8"]
    assert ".pte" in refused["llama-guard-3-1b-int4"]
    assert all(len(reason) > 30 for reason in refused.values())


@pytest.mark.parametrize("model", SIXTEEN_BITS, ids=lambda model: model.id)
def test_shapes_give_the_bytes_of_the_checkpoint(model: catalog.Model) -> None:
    assert checkpoint_bytes(model.shape) == model.weights_bytes == 2 * model.params


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("70b", "llama-3.3-70b-instruct"),
        ("8b", "llama-3.1-8b-instruct"),
        ("8B", "llama-3.1-8b-instruct"),
        ("405b", "llama-3.1-405b-instruct-bf16-mp8"),
        ("1b", "llama-3.2-1b-instruct"),
        ("7b", "llama-2-7b-chat"),
        ("34b", "codellama-34b-instruct"),
        ("scout", "llama-4-scout-instruct"),
        ("llama-3-8b", "llama-3-8b"),
        ("Llama 3.1 8B Instruct", "llama-3.1-8b-instruct"),
        ("llama3.1:8b", "llama-3.1-8b"),
        ("meta-llama/Llama-3.1-8B-Instruct", "llama-3.1-8b-instruct"),
        ("meta-llama/Meta-Llama-3.1-8B", "llama-3.1-8b"),
        ("Meta-Llama-3-8B", "llama-3-8b"),
        ("meta-llama/Llama-2-7b", "llama-2-7b"),
        ("70b_instruction_tuned", "llama-3-70b-instruct"),
        ("Llama-3.1-405B-Instruct-MP16", "llama-3.1-405b-instruct-bf16-mp16"),
        # On Meta's server this is the FP8 copy, on Hugging Face the 16-bit one.
        ("Llama-3.1-405B", "llama-3.1-405b-bf16-mp8"),
        ("30B", "llama-1-33b"),
        ("llama-3.2-11b", "llama-3.2-11b-vision-instruct"),
    ],
)
def test_people_mean(text: str, meant: str) -> None:
    assert CATALOG.resolve(text).id == meant
    assert CATALOG.suggest(text) == meant
    assert text in CATALOG.explain(text) and meant in CATALOG.explain(text)


def test_every_own_name_means_its_model() -> None:
    for model in CATALOG:
        assert CATALOG.resolve(model.id) is model
        if model.hf_repo and "mp16" not in model.id:
            assert CATALOG.resolve(model.hf_repo) is model


@pytest.mark.parametrize("text", ["70b", "8b", "Llama-3.1-8B", "meta-llama/Meta-Llama-3.1-8B", ""])
def test_a_spec_takes_no_alias(text: str) -> None:
    assert CATALOG.find(text) is None


def test_a_spec_takes_ids_and_repositories() -> None:
    found = CATALOG.find("meta-llama/Llama-3.3-70B-Instruct")
    assert found is not None and found is CATALOG.find("llama-3.3-70b-instruct")


@pytest.mark.parametrize(
    ("text", "near"),
    [
        ("lama-3.1-8b-instruct", "llama-3.1-8b-instruct"),
        ("llama-3.3-70b-instuct", "llama-3.3-70b-instruct"),
        ("codelama-34b", "codellama-34b-instruct"),
    ],
)
def test_typing_errors_get_the_nearest_names(text: str, near: str) -> None:
    with pytest.raises(UnknownModel) as caught:
        CATALOG.resolve(text)
    assert near in caught.value.choices
    assert str(caught.value).startswith(f"spec.model: {text!r} is not in the catalogue")


def test_nonsense_gets_no_name() -> None:
    for text in ("", "  ", "zzzzzz"):
        assert CATALOG.nearest(text) == []
        with pytest.raises(UnknownModel, match="llamactl models"):
            CATALOG.resolve(text)


def test_facts_that_people_look_up() -> None:
    model = CATALOG.resolve("llama-3-70b-instruct")
    assert model.scores["mmlu"] == 82.0 and model.gpu_hours == 6_400_000
    assert model.training_tokens == 15_000_000_000_000 and model.context == 8192
    assert model.meta is not None and model.meta.mp == 8
    assert CATALOG.comparisons["gpt-4"]["math"] == 52.9
    assert CATALOG.resolve("70b").tool_call_parser == "llama3_json"
    assert CATALOG.resolve("llama-3.1-8b").tool_call_parser == ""
    assert "European Union" in CATALOG.resolve("scout").territory
    assert model.family.training_gpu == "H100 80G"
    assert "2,000 warm-up steps" in CATALOG.resolve("llama-1-65b").family.notes
    assert "0.13 % Chinese" in CATALOG.resolve("llama-2-70b").family.notes
    named = {source for each in CATALOG for source in each.sources}
    assert named <= set(CATALOG.sources)


@pytest.mark.parametrize(
    ("guard", "licence", "tokenizer", "territory"),
    [
        ("llama-guard-1-7b", "Llama 2 Community License", "SentencePiece", ""),
        ("llama-guard-2-8b", "Meta Llama 3 Community License", "tiktoken", ""),
        ("llama-guard-3-8b", "Llama 3.1 Community License", "tiktoken", ""),
        ("llama-guard-3-1b", "Llama 3.2 Community License", "tiktoken", "vision models: no rights"),
        ("llama-guard-4-12b", "Llama 4 Community License", "tiktoken", "no rights for users"),
    ],
)
def test_a_guard_has_the_licence_of_what_it_was_made_of(
    guard: str, licence: str, tokenizer: str, territory: str
) -> None:
    model = CATALOG.resolve(guard)
    assert model.license == licence and model.family.tokenizer.startswith(tokenizer)
    assert model.territory.startswith(territory) and bool(model.territory) == bool(territory)
    assert model.tool_call_parser == "" and model.family.id == "guard"


def test_the_compiled_files_are_what_the_yaml_says() -> None:
    assert compile.stale() == []


def own(**changes: Any) -> dict[str, Any]:
    shape = {
        "num_layers": 30, "hidden_size": 576, "num_attention_heads": 9, "num_kv_heads": 3,
        "head_dim": 64, "intermediate_size": 1536, "vocab_size": 49152, "max_position": 8192,
        "tied_embeddings": True,
    }  # fmt: skip
    entry: dict[str, Any] = {
        "id": "smollm2-135m",
        "params": 134515008,
        "weights_bytes": 269030016,
        "hf": {"repo": "HuggingFaceTB/SmolLM2-135M-Instruct"},
        "shape": shape,
    }
    for path, value in changes.items():
        *parents, key = path.split("__")
        target = entry
        for parent in parents:
            target = target[parent]
        target[key] = value
    return {"models": [entry]}


def test_a_user_adds_a_model() -> None:
    added = catalog.load(own())
    found = added.find("HuggingFaceTB/SmolLM2-135M-Instruct")
    assert found is not None and found.shape.num_kv_heads == 3 and found.servable
    assert len(added) == 64 and len(catalog.load()) == 63


def test_a_user_adds_a_file(tmp_path: Any) -> None:
    path = tmp_path / "models.json"
    path.write_text(json.dumps(own()))
    assert catalog.load(path).get("smollm2-135m") is not None


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"id": "Not An Id"}, "models[0].id"),
        ({"params": -1}, "models[0].params"),
        ({"params": "many"}, "models[0].params"),
        ({"weights_bytes": True}, "models[0].weights_bytes"),
        ({"colour": "red"}, "models[0].colour"),
        ({"generation": "9"}, "models[0].generation"),
        ({"shape": "llama-9"}, "models[0].shape"),
        ({"shape": 7}, "models[0].shape"),
        ({"shape__num_layers": 0}, "models[0].shape: num_layers"),
        ({"shape__head_dim": 100}, "models[0].shape: head_dim"),
        ({"shape__num_kv_heads": 4}, "models[0].shape: num_kv_heads"),
        ({"shape__width": 4}, "models[0].shape.width"),
        ({"hf": {"repo": "../etc"}}, "models[0].hf.repo"),
        ({"hf": {"repo": "a/b", "host": "x"}}, "models[0].hf.host"),
        ({"meta": {"folder": "x", "mp": 0}}, "models[0].meta.mp"),
        ({"meta": {"folder": "x", "mp": 1, "aliases": [1]}}, "models[0].meta.aliases"),
        ({"refusal": 1}, "models[0].refusal"),
        ({"generation": ["3"]}, "models[0].generation"),
        ({"based_on": "9"}, "models[0].based_on"),
        ({"uncertain": [1]}, "models[0].uncertain"),
        ({"scores": {"mmlu": "high"}}, "models[0].scores"),
        ({"gpu_hours": 0}, "models[0].gpu_hours"),
        ({"shape__tied_embeddings": "yes"}, "models[0].shape.tied_embeddings"),
        ({"shape__num_experts": "16"}, "models[0].shape: num_experts"),
        ({"shape__moe_layers": 4}, "models[0].shape: moe_layers"),
        ({"shape__rope_theta": "big"}, "models[0].shape.rope_theta"),
        ({"shape__quant_bits": 99}, "models[0].shape: quant_bits"),
    ],
)
def test_mistakes_of_a_user_are_named(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(LlamaError) as caught:
        catalog.load(own(**changes))
    assert caught.value.field == field
    assert str(caught.value).startswith(f"{field}: ")


@pytest.mark.parametrize("raw", [{}, {"models": []}, {"models": 3}, {"models": [3]}])
def test_a_file_without_models_is_refused(raw: dict[str, Any]) -> None:
    with pytest.raises(LlamaError):
        catalog.load(raw)


def test_an_id_is_used_once() -> None:
    twice = {"models": own()["models"] * 2}
    with pytest.raises(LlamaError, match="twice"):
        catalog.load(twice)


@pytest.mark.parametrize("content", [b"models: [", b"\xff\xfe\x00", b"- 1"])
def test_an_unreadable_file_is_refused(content: bytes, tmp_path: Any) -> None:
    path = tmp_path / "models.yaml"
    path.write_bytes(content)
    with pytest.raises(LlamaError):
        catalog.load(path)
    with pytest.raises(LlamaError):
        catalog.load(tmp_path / "absent.yaml")

"""What was split comes back byte for byte, whatever the release and the number of ranks."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest
from tests.support.models import metashards
from tests.support.models.metashards import Sizes, Weights

from llama_weights.convert import params
from llama_weights.convert.convert import Order, convert
from llama_weights.manifest import Manifest
from llama_weights.meter import Meter
from llama_weights.verify import verify

SCALED = {"use_scaled_rope": True}
OLD = {"rope_theta": None, "vocab_size": -1}


def made(source: Path, model: str, **options: Any) -> Manifest:
    order = Order(source, source.parent / "out", model, **options)
    return convert(order, Meter(), threading.Event())


def tensors(directory: Path) -> dict[str, Weights]:
    found: dict[str, Weights] = {}
    for file in sorted(directory.glob("*.safetensors")):
        found |= metashards.read(file)
    return found


def config(directory: Path, name: str = "config.json") -> dict[str, Any]:
    found = json.loads((directory / name).read_text())
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize("ranks", [1, 2, 4, 8])
@pytest.mark.parametrize(
    ("model", "embed_columns", "changes", "dtype"),
    [
        ("llama-1-7b", True, OLD, "F16"),
        ("llama-2-7b-chat", True, OLD, "BF16"),
        ("codellama-7b-instruct", True, {"rope_theta": 1e6}, "BF16"),
        ("llama-3-8b", False, {}, "BF16"),
        ("llama-3.1-8b-instruct", False, SCALED, "BF16"),
        ("llama-3.3-70b-instruct", False, SCALED, "F32"),
        ("llama-guard-3-8b", False, SCALED, "BF16"),
    ],
)
def test_every_release_and_number_of_ranks(
    tmp_path: Path,
    model: str,
    embed_columns: bool,
    changes: dict[str, Any],
    dtype: str,
    ranks: int,
) -> None:
    sizes = Sizes()
    original = metashards.noise(sizes, ranks, dtype)
    shards = metashards.split(original, sizes.head_dim, ranks, embed_columns=embed_columns)
    kind = metashards.sentencepiece if embed_columns else metashards.tiktoken
    source = metashards.checkpoint(tmp_path / "in", shards, sizes.params(**changes), kind(384))
    manifest = made(source, model)
    assert tensors(tmp_path / "out") == original
    assert verify(tmp_path / "out", Meter(), threading.Event()) == manifest
    assert (
        config(tmp_path / "out")["rope_theta"] == changes.get("rope_theta", 500000.0)
        or embed_columns
    )


@pytest.mark.parametrize("ranks", [1, 2])
def test_grouped_heads(tmp_path: Path, ranks: int) -> None:
    sizes = Sizes(kv_heads=2, hidden=128)
    original = metashards.noise(sizes)
    shards = metashards.split(original, sizes.head_dim, ranks)
    source = metashards.checkpoint(
        tmp_path / "in",
        shards,
        sizes.params(ffn_dim_multiplier=None, multiple_of=None),
        metashards.tiktoken(384),
    )
    made(source, "llama-3-8b")
    assert tensors(tmp_path / "out") == original
    assert config(tmp_path / "out")["num_key_value_heads"] == 2


def test_heads_that_are_stored_twice_are_kept_once(tmp_path: Path) -> None:
    sizes = Sizes(kv_heads=4)
    original = metashards.noise(sizes)
    shards = metashards.split(original, sizes.head_dim, 8, doubled=True)
    changed = sizes.params(n_kv_heads=8, **SCALED)
    source = metashards.checkpoint(tmp_path / "in", shards, changed, metashards.tiktoken(384))
    made(source, "Llama-3.1-405B-MP16")
    assert tensors(tmp_path / "out") == original
    assert config(tmp_path / "out")["num_key_value_heads"] == 4


@pytest.mark.parametrize("ranks", [1, 2])
@pytest.mark.parametrize("stored", [True, False])
def test_tied_embeddings_have_no_output_matrix(tmp_path: Path, ranks: int, stored: bool) -> None:
    sizes = Sizes()
    original = metashards.noise(sizes, tied=True)
    given = dict(original)
    if stored:
        given["lm_head.weight"] = given["model.embed_tokens.weight"]
    shards = metashards.split(given, sizes.head_dim, ranks)
    source = metashards.checkpoint(
        tmp_path / "in", shards, sizes.params(**SCALED), metashards.tiktoken(384)
    )
    made(source, "llama-3.2-1b")
    assert tensors(tmp_path / "out") == original
    found = config(tmp_path / "out")
    assert found["tie_word_embeddings"] is True
    assert found["rope_scaling"]["factor"] == 32.0


def test_an_output_matrix_of_its_own_is_kept(tmp_path: Path) -> None:
    sizes = Sizes()
    original = metashards.noise(sizes)
    shards = metashards.split(original, sizes.head_dim, 1)
    source = metashards.checkpoint(
        tmp_path / "in", shards, sizes.params(**SCALED), metashards.tiktoken(384)
    )
    made(source, "llama-guard-3-1b")
    assert tensors(tmp_path / "out") == original
    assert config(tmp_path / "out")["tie_word_embeddings"] is False


def test_several_files_have_an_index_that_is_right(tmp_path: Path) -> None:
    sizes = Sizes()
    original = metashards.noise(sizes)
    shards = metashards.split(original, sizes.head_dim, 2)
    source = metashards.checkpoint(
        tmp_path / "in", shards, sizes.params(), metashards.tiktoken(384)
    )
    made(source, "llama-3-8b", file_limit=60_000, jobs=3)
    files = sorted(path.name for path in (tmp_path / "out").glob("*.safetensors"))
    count = len(files)
    assert count > 3
    assert files == [
        f"model-{number:05d}-of-{count:05d}.safetensors" for number in range(1, count + 1)
    ]
    found = config(tmp_path / "out", "model.safetensors.index.json")
    assert found["metadata"]["total_size"] == sum(len(each.data) for each in original.values())
    for name, file in found["weight_map"].items():
        assert metashards.read(tmp_path / "out" / file)[name] == original[name]
    assert set(found["weight_map"]) == set(original)


@pytest.mark.parametrize(
    ("model", "changes", "context", "factor", "ends"),
    [
        ("llama-3-8b", {}, 8192, None, 385),
        ("llama-3-8b-instruct", {}, 8192, None, [385, 393]),
        ("Meta-Llama-3.1-8B", SCALED, 131072, 8.0, 385),
        ("meta-llama/Llama-3.1-8B-Instruct", SCALED, 131072, 8.0, [385, 392, 393]),
        ("llama-3.2-3b-instruct", SCALED, 131072, 32.0, [385, 392, 393]),
        ("llama-3.3-70b", SCALED, 131072, 8.0, [385, 392, 393]),
    ],
)
def test_what_params_json_does_not_say(
    tmp_path: Path,
    model: str,
    changes: dict[str, Any],
    context: int,
    factor: float | None,
    ends: Any,
) -> None:
    sizes = Sizes(layers=1)
    shards = metashards.split(metashards.noise(sizes), sizes.head_dim, 1)
    source = metashards.checkpoint(
        tmp_path / "in", shards, sizes.params(**changes), metashards.tiktoken(384)
    )
    made(source, model)
    found = config(tmp_path / "out")
    assert found["max_position_embeddings"] == context
    assert (found["rope_scaling"] or {}).get("factor") == factor
    assert found["eos_token_id"] == ends
    assert config(tmp_path / "out", "generation_config.json")["eos_token_id"] == ends
    template = config(tmp_path / "out", "tokenizer_config.json").get("chat_template")
    assert bool(template) == ("nstruct" in model or "3.3" in model)


def test_the_directory_may_say_what_it_is(tmp_path: Path) -> None:
    sizes = Sizes(layers=1)
    shards = metashards.split(metashards.noise(sizes), sizes.head_dim, 1)
    place = tmp_path / "Meta-Llama-3-8B-Instruct" / "original"
    source = metashards.checkpoint(place, shards, sizes.params(), metashards.tiktoken(384))
    convert(Order(source, tmp_path / "out"), Meter(), threading.Event())
    assert config(tmp_path / "out")["max_position_embeddings"] == 8192


@pytest.mark.parametrize(
    ("hidden", "multiple", "multiplier", "expected"),
    [
        (4096, 256, None, 11008),
        (5120, 256, None, 13824),
        (6656, 256, None, 17920),
        (8192, 256, 1.0, 22016),
        (8192, 4096, 1.3, 28672),
        (4096, 1024, 1.3, 14336),
        (16384, 4096, 1.2, 53248),
        (2048, 256, 1.5, 8192),
        (3072, 256, 1.0, 8192),
    ],
)
def test_the_published_feed_forward_sizes(
    hidden: int, multiple: int, multiplier: float | None, expected: int
) -> None:
    found = Sizes(hidden=hidden).params(multiple_of=multiple, ffn_dim_multiplier=multiplier)
    assert params.parse(found).feed_forward == expected

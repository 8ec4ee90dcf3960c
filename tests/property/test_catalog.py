"""Whatever a user's file of models holds, it is taken, or refused by the name of a field."""

from __future__ import annotations

import copy
import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from llama_operator.api.errors import LlamaError, PlanRefused
from llama_operator.catalog import catalog
from llama_operator.planner import gpus
from llama_operator.planner.plan import Request, plan
from llamactl import models_view

ENTRY: dict[str, Any] = {
    "id": "mine",
    "params": 134515008,
    "weights_bytes": 269030016,
    "hf": {"repo": "me/mine", "aliases": [], "gated": False, "shards": 1},
    "meta": {"folder": "mine", "mp": 1, "pth_files": 1},
    "shape": {
        "num_layers": 30, "hidden_size": 576, "num_attention_heads": 9, "num_kv_heads": 3,
        "head_dim": 64, "intermediate_size": 1536, "vocab_size": 49152, "max_position": 8192,
    },
}  # fmt: skip
PLACES = {
    (): ("id", "params", "weights_bytes", "hf", "meta", "shape", "generation", "based_on",
         "variant", "dtype", "quantization", "scores", "uncertain", "sources", "refusal",
         "license", "training_tokens", "colour"),
    ("hf",): ("repo", "aliases", "gated", "shards"),
    ("meta",): ("folder", "mp", "pth_files", "aliases", "pth_bytes", "checklist"),
    ("shape",): ("num_layers", "head_dim", "tied_embeddings", "architecture", "num_experts",
                 "moe_layers", "dense_intermediate_size", "quant_bits", "rope_theta",
                 "rope_scaling", "quantization", "dtype"),
}  # fmt: skip
_SPOTS = st.sampled_from([(path, key) for path, keys in PLACES.items() for key in keys])
_JSON = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(),
        st.sampled_from(["", "3.1", "own", "a/b", "fp8", "bfloat16", "LlamaForCausalLM"]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=2), st.dictionaries(st.text(max_size=4), inner, max_size=2)
    ),
    max_leaves=4,
)  # fmt: skip


@settings(deadline=None, max_examples=300)
@given(st.lists(st.tuples(_SPOTS, _JSON), min_size=1, max_size=3))
def test_a_file_is_taken_or_refused(changes: list[tuple[tuple[tuple[str, ...], str], Any]]) -> None:
    entry = copy.deepcopy(ENTRY)
    for (path, key), value in changes:
        target = entry
        for step in path:
            target = target[step] if isinstance(target.get(step), dict) else {}
        target[key] = value
    try:
        found = catalog.load({"models": [entry]}).models[-1]
    except LlamaError as refused:
        assert refused.field
        return
    json.dumps(models_view.facts(found))
    assert models_view.page(found, 80) and models_view.table([found], 80, wide=True)
    try:
        plan(Request(shape=found.shape, weights_bytes=found.weights_bytes, gpu=gpus.find("h100")))
    except PlanRefused as refused:
        assert refused.field

"""Whatever is asked, the planner either refuses in one sentence or gives a plan that holds."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from llama_operator.api.conditions import DEPLOYMENT_REASONS
from llama_operator.api.errors import PlanRefused
from llama_operator.catalog import catalog
from llama_operator.catalog.reading import shape_from_config
from llama_operator.catalog.shape import Shape
from llama_operator.planner import gpus
from llama_operator.planner.candidates import decide
from llama_operator.planner.plan import Plan, Request, plan

GIB = 1 << 30
MODELS = [each for each in catalog.load() if each.servable]
CARDS = list(gpus.table().values())

models = st.sampled_from(MODELS)
cards = st.sampled_from([each for each in CARDS if each.capability >= 7.5])


@st.composite
def shapes(draw: st.DrawFn) -> Shape:
    """Decoders that nobody has trained, but whose numbers agree."""
    kv_heads = draw(st.integers(1, 16))
    heads = kv_heads * draw(st.integers(1, 8))
    head_dim = draw(st.sampled_from([32, 64, 80, 128]))
    return Shape(
        architecture="LlamaForCausalLM",
        num_layers=draw(st.integers(1, 130)),
        hidden_size=heads * head_dim,
        num_attention_heads=heads,
        num_kv_heads=kv_heads,
        head_dim=head_dim,
        intermediate_size=draw(st.integers(1, 600)) * 64,
        vocab_size=draw(st.integers(100, 300_000)),
        max_position=draw(st.sampled_from([64, 2048, 8192, 131_072, 1_048_576])),
        tied_embeddings=draw(st.booleans()),
        dtype=draw(st.sampled_from(["bfloat16", "float16", "float32"])),
    )


@st.composite
def requests(draw: st.DrawFn) -> Request:
    """Requests with any mixture of pins, most of them possible."""
    maybe: Any = lambda values: draw(st.one_of(st.none(), values))  # noqa: E731
    return Request(
        shape=draw(st.one_of(shapes(), models.map(lambda each: each.shape))),
        weights_bytes=0,
        gpu=draw(cards),
        gpus_per_node=draw(st.sampled_from([1, 2, 4, 8])),
        gpu_count=maybe(st.integers(1, 32)),
        tensor_parallel=maybe(st.integers(1, 16)),
        pipeline_parallel=maybe(st.integers(1, 4)),
        nodes=maybe(st.integers(1, 4)),
        max_model_len=maybe(st.integers(16, 200_000)),
        max_num_seqs=maybe(st.integers(1, 2048)),
        max_num_batched_tokens=maybe(st.integers(16, 65_536)),
        gpu_memory_utilization=maybe(st.floats(0.1, 0.99)),
        quantization=maybe(st.sampled_from(["none", "fp8"])),
        kv_cache_dtype=draw(st.sampled_from(["auto", "fp8"])),
        enforce_eager=draw(st.booleans()),
        objective=draw(st.sampled_from(["fit", "throughput", "latency"])),
        vllm_version=draw(st.sampled_from(["0.24.0", "0.10.2", "0.22.0", "0.6.3", "0.33.0"])),
    )


@st.composite
def possible(draw: st.DrawFn) -> Request:
    """Requests whose pins go together, on cards that hold something."""
    maybe: Any = lambda values: draw(st.one_of(st.none(), st.sampled_from(values)))  # noqa: E731
    model, seqs = draw(models), maybe([1, 17, 256, 1024])
    size, stages = maybe([1, 2, 4, 8]), maybe([1, 2])
    both = size * stages if size and stages else None
    return Request(
        shape=model.shape,
        weights_bytes=model.weights_bytes,
        gpu=draw(st.sampled_from([gpus.find(name) for name in ("h100", "h200", "mi300x", "l40s")])),
        gpu_count=both if draw(st.booleans()) else None,
        tensor_parallel=size,
        pipeline_parallel=stages,
        max_model_len=maybe([16, 1000, 2048, 4096]),
        max_num_seqs=seqs,
        max_num_batched_tokens=maybe([1024, 2048, 8192]),
        gpu_memory_utilization=maybe([0.8, 0.88, 0.92]),
        objective=draw(st.sampled_from(["fit", "throughput", "latency"])),
        vllm_version=draw(st.sampled_from(["0.24.0", "0.10.2", "0.22.0", "0.33.0"])),
    )


def planned(request: Request) -> Plan | None:
    try:
        return plan(request)
    except PlanRefused:
        return None


PINS = (
    "tensor_parallel", "pipeline_parallel", "nodes", "max_model_len", "max_num_seqs",
    "max_num_batched_tokens", "gpu_memory_utilization",
)  # fmt: skip


def assert_sound(request: Request, found: Plan) -> None:
    """Everything that must be true of any plan."""
    shape, size, gpu = request.shape, found.tensor_parallel, request.gpu
    assert gpu is not None
    # Never over memory, and every byte of the card is accounted for.
    parts = found.per_gpu.to_status()
    assert sum(parts.values()) == gpu.memory_bytes
    assert min(parts.values()) >= 0
    assert -(-found.max_model_len // 16) * 16 <= found.kv_tokens
    assert found.max_num_seqs <= found.max_num_batched_tokens
    # What is cut is divided without a rest.
    assert shape.num_attention_heads % size == 0
    assert shape.num_kv_heads % size == 0 or size % shape.num_kv_heads == 0
    assert shape.intermediate_size % size == 0 and shape.padded_vocab % size == 0
    assert found.gpus == size * found.pipeline_parallel
    assert found.gpus % found.nodes == 0
    assert found.gpus // found.nodes <= request.gpus_per_node
    assert found.pipeline_parallel <= shape.num_layers
    # Pins are kept.
    for name in PINS:
        pin = getattr(request, name)
        assert pin is None or getattr(found, name) == pin
    assert request.gpu_count is None or found.gpus == request.gpu_count
    # The same question has the same answer.
    assert plan(replace(request)) == found


@settings(deadline=None, max_examples=300)
@given(requests())
def test_a_plan_is_sound_or_refused_in_one_sentence(request: Request) -> None:
    try:
        found = plan(request)
    except PlanRefused as refused:
        assert refused.reason in DEPLOYMENT_REASONS["Planned"]
        assert refused.field and "\n" not in str(refused)
        with pytest.raises(PlanRefused, match=re.escape(str(refused))):
            plan(replace(request))
        return
    assert_sound(request, found)


@settings(deadline=None, max_examples=300)
@given(possible())
def test_most_of_what_is_possible_is_planned_soundly(request: Request) -> None:
    found = planned(request)
    event("planned" if found else "refused")
    if found is not None:
        assert_sound(request, found)


@settings(deadline=None, max_examples=100)
@given(requests())
def test_a_decision_agrees_with_the_plan(request: Request) -> None:
    found, taken = decide(request), planned(request)
    assert (found.chosen.plan if found.chosen else None) == taken
    assert (found.refusal is None) == (taken is not None)
    assert found.chosen is None or found.candidates.count(found.chosen) == 1
    for each in found.candidates:
        assert request.gpu is not None and each.replicas >= 1 and each.reason
        assert sum(each.plan.per_gpu.to_status().values()) == request.gpu.memory_bytes


memories = st.tuples(st.integers(8, 300), st.integers(1, 64))


@settings(deadline=None, max_examples=200)
@given(models, memories, st.sampled_from([1, 2, 4, 8]), st.sampled_from([0.5, 0.8, 0.92]))
def test_more_memory_never_holds_fewer_tokens(
    model: catalog.Model, memory: tuple[int, int], size: int, share: float
) -> None:
    """Under the same flags. Left to the planner, they are lowered less on a larger card."""

    def tokens(gibibytes: int) -> int:
        request = on_card(
            model, gibibytes, tensor_parallel=size, pipeline_parallel=1, max_model_len=1024,
            max_num_seqs=256, max_num_batched_tokens=2048, gpu_memory_utilization=share,
        )  # fmt: skip
        return max((each.plan.kv_tokens for each in decide(request).candidates), default=0)

    smaller, more = memory
    assert tokens(smaller) <= tokens(smaller + more)


@settings(deadline=None, max_examples=200)
@given(models, memories, st.sampled_from([1, 2, 4, 8]), st.integers(16, 131_072))
def test_what_fits_fits_with_more_memory(
    model: catalog.Model, memory: tuple[int, int], count: int, length: int
) -> None:
    def fits(gibibytes: int) -> bool:
        asked = min(length, model.context)
        return planned(on_card(model, gibibytes, gpu_count=count, max_model_len=asked)) is not None

    smaller, more = memory
    assert fits(smaller) <= fits(smaller + more)


def on_card(model: catalog.Model, gibibytes: int, **pins: Any) -> Request:
    """The model on an H100 of another size."""
    gpu = replace(gpus.find("h100"), memory_bytes=gibibytes * GIB)
    return Request(shape=model.shape, weights_bytes=model.weights_bytes, gpu=gpu, **pins)


@settings(deadline=None, max_examples=150)
@given(models, cards, st.integers(16, 131_072), st.integers(16, 131_072))
def test_a_longer_context_never_needs_fewer_gpus(
    model: catalog.Model, gpu: gpus.Gpu, one: int, other: int
) -> None:
    def count(length: int) -> float:
        found = planned(
            Request(
                shape=model.shape,
                weights_bytes=model.weights_bytes,
                gpu=gpu,
                max_model_len=min(length, model.context),
            )
        )
        return found.gpus if found else float("inf")

    assert count(min(one, other)) <= count(max(one, other))


@settings(deadline=None, max_examples=200)
@given(requests())
def test_offered_counts_are_accepted(request: Request) -> None:
    free = replace(request, tensor_parallel=None, pipeline_parallel=None)
    try:
        plan(free)
    except PlanRefused as refused:
        if refused.field != "spec.gpu.count":
            return
        for choice in refused.choices:
            assert plan(replace(free, gpu_count=int(choice))).gpus == int(choice)


_ANY_INT = st.one_of(st.none(), st.integers(-(1 << 70), 1 << 70))


@settings(deadline=None, max_examples=200)
@given(
    models, cards, _ANY_INT, _ANY_INT, _ANY_INT, _ANY_INT, _ANY_INT,
    st.one_of(st.none(), st.floats()),
)  # fmt: skip
def test_any_number_is_planned_or_refused(
    model: catalog.Model,
    gpu: gpus.Gpu,
    count: int | None,
    tensor: int | None,
    length: int | None,
    seqs: int | None,
    tokens: int | None,
    share: float | None,
) -> None:
    planned(
        Request(
            shape=model.shape,
            weights_bytes=model.weights_bytes,
            gpu=gpu,
            gpu_count=count,
            tensor_parallel=tensor,
            max_model_len=length,
            max_num_seqs=seqs,
            max_num_batched_tokens=tokens,
            gpu_memory_utilization=share,
        )
    )


@settings(deadline=None, max_examples=150)
@given(
    st.one_of(shapes(), models.map(lambda each: each.shape)),
    st.one_of(st.none(), cards),
    st.one_of(st.none(), st.integers(1, 9)),
    st.one_of(st.none(), st.integers(1, 200_000)),
)
def test_a_plan_for_transformers_fits_the_card_to_the_byte(
    shape: Shape, card: gpus.Gpu | None, count: int | None, length: int | None
) -> None:
    device = "cpu" if card is None else {"nvidia": "cuda", "amd": "rocm"}[card.vendor]
    asked = Request(
        shape=shape,
        weights_bytes=0,
        gpu=card,
        device=device,
        gpu_count=count,
        max_model_len=length,
        engine="transformers",
    )
    try:
        found = plan(asked)
    except PlanRefused as refused:
        assert refused.reason in DEPLOYMENT_REASONS["Planned"]
        assert refused.field
        return
    assert found.tensor_parallel == found.max_num_seqs == 1
    assert found.gpus == (count or found.gpus) <= shape.num_layers
    assert found.max_model_len == (length or found.max_model_len) <= shape.max_position
    if card is not None:
        assert sum(found.per_gpu) == card.memory_bytes
        assert min(found.per_gpu) >= 0


_JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)
_KEYS = (
    "architectures", "num_hidden_layers", "hidden_size", "num_attention_heads", "head_dim",
    "num_key_value_heads", "intermediate_size", "vocab_size", "max_position_embeddings",
    "torch_dtype", "tie_word_embeddings", "quantization_config", "text_config",
    "num_local_experts", "interleave_moe_layer_step", "intermediate_size_mlp",
)  # fmt: skip


@settings(deadline=None, max_examples=300)
@given(st.dictionaries(st.sampled_from(_KEYS), _JSON, max_size=4))
def test_no_config_json_gets_through_as_an_exception(changes: dict[str, Any]) -> None:
    config = {
        "architectures": ["LlamaForCausalLM"],
        "num_hidden_layers": 4,
        "hidden_size": 256,
        "num_attention_heads": 4,
        "intermediate_size": 512,
        "vocab_size": 1000,
        "max_position_embeddings": 2048,
        **changes,
    }
    try:
        shape = shape_from_config(config)
    except PlanRefused as refused:
        assert refused.field
        return
    planned(Request(shape=shape, weights_bytes=0, gpu=gpus.find("h100")))

"""What adapters take, by figures that were worked out by hand."""

from __future__ import annotations

import pytest

from llama_operator.catalog import catalog
from llama_operator.catalog.shape import Shape
from llama_operator.planner import lora
from llama_operator.planner.gpus import find
from llama_operator.planner.lora import Lora
from llama_operator.planner.plan import Plan, Request, plan
from llama_operator.planner.weights import Stage


def shape_of(name: str) -> Shape:
    model = catalog.load().find(name)
    assert model is not None
    return model.shape


SHAPE = shape_of("llama-3.1-8b-instruct")


def test_a_layer_of_8b_by_hand() -> None:
    # q 4096+4096, k and v 4096+1024 each, o 4096+4096, gate and up 4096+14336, down 14336+4096.
    layer = 8192 + 2 * 5120 + 8192 + 3 * 18432
    middle = Stage(1, first=False, last=False)
    assert lora.buffer_bytes(SHAPE, Lora(4, 16), 2, 1, middle) == 4 * 16 * layer * 2
    # Half of what is cut by its outputs (q, k, v, gate, up) or by its inputs (o, down).
    cut = (4096 + 2048) + 2 * (4096 + 512) + (2048 + 4096) + 2 * (4096 + 7168) + (7168 + 4096)
    assert lora.buffer_bytes(SHAPE, Lora(4, 16), 2, 2, middle) == 4 * 16 * cut * 2


def test_embedding_and_logits_are_whole_on_every_rank() -> None:
    ends = 128256 + 4096
    both, none = Stage(1), Stage(1, first=False, last=False)
    for tensor in (1, 8):
        more = lora.buffer_bytes(SHAPE, Lora(1, 8), 2, tensor, both)
        less = lora.buffer_bytes(SHAPE, Lora(1, 8), 2, tensor, none)
        assert more - less == 2 * 8 * ends * 2


@pytest.mark.parametrize(("asked", "reserved"), [(1, 1), (2, 8), (16, 16), (17, 32), (512, 512)])
def test_ranks_are_those_that_vllm_knows(asked: int, reserved: int) -> None:
    assert Lora(1, asked).reserved_rank == reserved


def planned(room: Lora | None) -> Plan:
    return plan(
        Request(
            shape=SHAPE,
            weights_bytes=16_060_556_376,
            gpu=find("NVIDIA-H100-80GB-HBM3", None),
            gpu_count=1,
            lora=room,
        )
    )


def test_room_for_adapters_is_taken_from_the_cache() -> None:
    without, room = planned(None), Lora(8, 64)
    with_room = planned(room)
    taken = lora.buffer_bytes(SHAPE, room, 2, 1, Stage(32))
    assert with_room.per_gpu.weights_bytes - without.per_gpu.weights_bytes == taken
    graphs = without.per_gpu.cuda_graph_bytes
    assert with_room.per_gpu.cuda_graph_bytes == 2 * graphs > 0, "with adapters and without"
    lost = (without.kv_tokens - with_room.kv_tokens) * 131072
    assert abs(lost - taken) <= 16 * 131072
    assert with_room.host.memory_bytes > without.host.memory_bytes


def test_no_room_takes_nothing() -> None:
    assert lora.buffer_bytes(SHAPE, None, 2, 1, Stage(32)) == 0
    assert lora.host_bytes(SHAPE, None, 2) == 0

"""LoRA adapters for the made-up Llama, as PEFT saves them, and what loads them in an engine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

from llama_operator.guard import adapters
from tests.support.models import tensorfile
from tests.support.models.tiny import HIDDEN, LAYERS, noise
from tests.support.models.tokenizer import seeded
from tests.support.modules import loaded

FILE = Path(adapters.__file__).with_name(f"{adapters.MODULE}.py")
RANK = 4


def write(
    directory: Path, seed: int = 1, rank: int = RANK, width: int = HIDDEN, **config: Any
) -> Path:
    """An adapter whose weights are large enough to change every answer."""
    directory.mkdir(parents=True, exist_ok=True)
    document = {
        "peft_type": "LORA",
        "base_model_name_or_path": "test/tiny-llama",
        "r": rank,
        "lora_alpha": 64 * rank,
        "target_modules": ["q_proj", "o_proj"],
        "bias": "none",
        **config,
    }
    (directory / "adapter_config.json").write_text(json.dumps(document))
    tensors = dict(_tensors(seeded(seed), rank, width))
    tensorfile.write(directory / "adapter_model.safetensors", tensors)
    directory.chmod(0o755)
    for each in directory.iterdir():
        each.chmod(0o644)
    return directory


def _tensors(random: Random, rank: int, width: int) -> Iterator[tuple[str, tensorfile.Tensor]]:
    for layer in range(LAYERS):
        for kind in ("q_proj", "o_proj"):
            name = f"base_model.model.model.layers.{layer}.self_attn.{kind}"
            yield f"{name}.lora_A.weight", noise(random, rank, width)
            yield f"{name}.lora_B.weight", noise(random, width, rank)


def load() -> Any:
    """The module that runs in the engine, loaded under its own name."""
    return loaded(adapters.MODULE, FILE)

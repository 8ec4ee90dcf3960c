"""A checkpoint of the catalogue: its shape, its names, where it comes from, what is known of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from llama_operator.catalog.shape import Shape, kv_bytes_per_token


class Meta(NamedTuple):
    """Where Meta's own server keeps a checkpoint.

    `mp` is Meta's model parallel size: it fixes the number of .pth files and says nothing about
    how many GPUs serve the model.
    """

    folder: str
    mp: int
    pth_files: int
    aliases: tuple[str, ...] = ()
    pth_bytes: int | None = None
    checklist: bool = True


class Generation(NamedTuple):
    """What all checkpoints of a generation share."""

    id: str
    name: str
    released: str
    license: str
    territory: str = ""
    tokenizer: str = ""
    attention: str = ""
    training_tokens: int | None = None
    training_gpu: str = ""
    tool_call_parser: str = ""
    chat_template: str = ""
    notes: str = ""


# What a model that was made of another generation's has from there.
_OF_BASE = ("license", "territory", "tokenizer", "attention")


@dataclass(frozen=True)
class Model:
    """One checkpoint. `servable` is False where `refusal` says why it cannot be served.

    `weights_bytes` are those of its tensors, `license` and `territory` who may use it where,
    `based_on` the generation that a Guard was made of,
    `scores` and `gpu_hours` as published, `sources` which source gave which fields.
    """

    id: str
    generation: str
    variant: str
    params: int
    shape: Shape
    weights_bytes: int
    family: Generation
    hf_repo: str | None = None
    hf_aliases: tuple[str, ...] = ()
    gated: bool = False
    shards: int | None = None
    meta: Meta | None = None
    refusal: str = ""
    modality: str = "text"
    active_params: int | None = None
    largest_tensor_bytes: int | None = None
    rope_theta: float = 10000.0
    rope_scaling: Mapping[str, Any] | None = None
    license: str = ""
    territory: str = ""
    training_tokens: int | None = None
    gpu_hours: int | None = None
    scores: Mapping[str, float] = field(default_factory=dict)
    prompt: str = ""
    tool_call_parser: str = ""
    chat_template: str = ""
    uncertain: tuple[str, ...] = ()
    sources: Mapping[str, Any] = field(default_factory=dict)
    based_on: str = ""

    @property
    def servable(self) -> bool:
        """Whether vLLM can serve it."""
        return not self.refusal

    @property
    def context(self) -> int:
        """Longest context in tokens."""
        return self.shape.max_position

    @property
    def size(self) -> str:
        """The size that people call it by: "8b", "405b"."""
        return next((part for part in self.id.split("-") if _is_size(part)), "")

    @property
    def kv_bytes_per_token(self) -> int:
        """Bytes of 16-bit KV cache that one token takes over all layers."""
        return kv_bytes_per_token(self.shape, 1, self.shape.num_layers)

    @property
    def chats(self) -> bool:
        """Whether it was tuned to follow instructions."""
        return self.variant in ("instruct", "chat")


def _is_size(part: str) -> bool:
    return part in ("scout", "maverick") or (part[-1:] == "b" and part[:-1].isdigit())


def read_generation(key: str, raw: Mapping[str, Any]) -> Generation:
    """The generation that a catalogue file describes under `key`."""
    return Generation(**{"id": key, "name": key, "released": "", "license": "", **raw})


def family_of(generation: str, based_on: str, generations: Mapping[str, Generation]) -> Generation:
    """A model's generation, with licence and tokenizer of the one that it is based on."""
    family = generations[generation]
    if not based_on:
        return family
    base = generations[based_on]
    return family._replace(**{name: getattr(base, name) for name in _OF_BASE})


def flatten(model: Model) -> dict[str, Any]:
    """A model as plain data for JSON; its generation is named, not repeated."""
    data = {**vars(model), "shape": vars(model.shape)}
    data["meta"] = model.meta._asdict() if model.meta else None
    del data["family"]
    return data


def restore(data: dict[str, Any], generations: Mapping[str, Generation]) -> Model:
    """The model that flatten made plain; trusted, so that loading takes no checks."""
    meta = data.pop("meta")
    if meta is not None:
        meta = Meta(**{**meta, "aliases": tuple(meta["aliases"])})
    lists: dict[str, Any] = {key: tuple(data.pop(key)) for key in ("hf_aliases", "uncertain")}
    shape = Shape(**data.pop("shape"))
    family = family_of(data["generation"], data["based_on"], generations)
    return Model(**data, **lists, shape=shape, meta=meta, family=family)

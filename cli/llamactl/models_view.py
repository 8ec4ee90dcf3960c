"""The catalogue in tables and documents."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llama_operator.api.errors import UnknownModel
from llama_operator.catalog import catalog
from llama_operator.catalog.model import Model
from llamactl import output
from llamactl.errors import BadValueError
from llamactl.near import or_list
from llamactl.table import Column, pairs, render
from llamactl.units import bytes_text

COLUMNS = (
    Column("MODEL"),
    Column("PARAMS", right=True),
    Column("CONTEXT", right=True),
    Column("WEIGHTS", right=True, optional=True),
    Column("LAYERS", right=True, optional=True),
    Column("HEADS", right=True, optional=True),
    Column("GATED", optional=True),
)
WIDE = (Column("HUGGING FACE"), Column("NOTE"))


def listed(everything: bool) -> list[Model]:
    """The models that can be served, or all."""
    return [model for model in catalog.load() if everything or model.servable]


def find(text: str) -> Model:
    """The model that a person means. Raises BadValueError with the nearest names."""
    try:
        model = catalog.load().resolve(text)
    except UnknownModel as error:
        near = or_list(error.choices[:3])
        raise BadValueError(
            f"no model {text!r}",
            field="NAME",
            fix=f"Did you mean {near}?" if near else "See the list",
            next="llamactl models",
        ) from error
    if text != model.id:
        output.talk(f"{text} -> {model.id}")
    return model


def table(found: Sequence[Model], width: int, *, wide: bool) -> str:
    """One line each; `wide` is for wide terminals and pipes."""
    columns = [*COLUMNS, *(WIDE if wide else ())]
    return render(columns, [_row(model, wide) for model in found], 10_000 if wide else width)


def _row(model: Model, wide: bool) -> list[str]:
    shape = model.shape
    row = [
        model.id,
        params(model.params),
        f"{model.context:,}",
        bytes_text(model.weights_bytes) if model.weights_bytes else "-",
        str(shape.num_layers),
        f"{shape.num_attention_heads}/{shape.num_kv_heads}",
        "yes" if model.gated else "no",
    ]
    return [*row, model.hf_repo or "-", model.refusal] if wide else row


def params(count: int) -> str:
    """Parameters in billions: 8.03 B."""
    return f"{count / 1e9:,.2f} B"


def page(model: Model, width: int) -> str:
    """All facts that are known, with labels."""
    return pairs([row for row in _facts(model) if row[1]], width)


def _facts(model: Model) -> list[tuple[str, str]]:
    shape, meta, family = model.shape, model.meta, model.family
    return [
        ("Model", model.id),
        ("Served", "yes" if model.servable else f"no: {model.refusal}"),
        ("Family", f"{family.name}, released {family.released}"),
        ("Variant", model.variant),
        ("Parameters", params(model.params)),
        ("Active", params(model.active_params) if model.active_params else ""),
        ("Weights", bytes_text(model.weights_bytes) if model.weights_bytes else ""),
        ("Context", f"{model.context:,} tokens"),
        ("Layers", str(shape.num_layers)),
        ("Hidden size", f"{shape.hidden_size:,}"),
        ("Heads", f"{shape.num_attention_heads}, of size {shape.head_dim}"),
        ("KV heads", str(shape.num_kv_heads)),
        ("Feed-forward", f"{shape.intermediate_size:,}"),
        ("Vocabulary", f"{shape.vocab_size:,}"),
        ("Type", " ".join(filter(None, (shape.dtype, shape.quantization)))),
        ("KV per token", f"{model.kv_bytes_per_token:,} bytes"),
        ("Rope theta", f"{model.rope_theta:,.0f}"),
        ("Tied embeddings", "yes" if shape.tied_embeddings else "no"),
        ("Tokenizer", family.tokenizer),
        ("Hugging Face", f"{model.hf_repo or ''}{' (gated)' if model.gated else ''}"),
        ("Meta", f"{meta.folder}, model parallel {meta.mp}" if meta else ""),
        ("Licence", model.license or family.license),
        ("Territory", model.territory or family.territory),
        ("Training tokens", _trillions(model.training_tokens or family.training_tokens)),
        ("GPU hours", f"{model.gpu_hours:,}" if model.gpu_hours else ""),
        ("Scores", ", ".join(f"{name} {value:g}" for name, value in model.scores.items())),
        ("Tool calls", model.tool_call_parser or family.tool_call_parser),
        ("Chat template", model.chat_template or family.chat_template),
    ]


def _trillions(count: int | None) -> str:
    return f"{count / 1e12:g} trillion" if count else ""


def comparison(found: Sequence[Model], width: int) -> str:
    """A column for each model."""
    sheets = [dict(_facts(model)) for model in found]
    labels = [label for label in sheets[0] if label != "Model" and any(s[label] for s in sheets)]
    columns = [Column(""), *(Column(model.id, wrap=True, least=14) for model in found)]
    return render(columns, [[label, *(s[label] or "-" for s in sheets)] for label in labels], width)


def facts(model: Model) -> dict[str, Any]:
    """Everything as a document, camelCase."""
    shape = model.shape
    meta = model.meta
    return {
        "id": model.id,
        "generation": model.generation,
        "variant": model.variant,
        "servable": model.servable,
        "refusal": model.refusal,
        "params": model.params,
        "activeParams": model.active_params,
        "weightsBytes": model.weights_bytes,
        "context": model.context,
        "kvBytesPerToken": model.kv_bytes_per_token,
        "shape": shape.to_status(),
        "ropeTheta": model.rope_theta,
        "ropeScaling": dict(model.rope_scaling) if model.rope_scaling else None,
        "huggingFace": model.hf_repo,
        "gated": model.gated,
        "meta": {"folder": meta.folder, "mp": meta.mp, "pthFiles": meta.pth_files}
        if meta
        else None,
        "tokenizer": model.family.tokenizer,
        "license": model.license or model.family.license,
        "territory": model.territory or model.family.territory,
        "trainingTokens": model.training_tokens or model.family.training_tokens,
        "gpuHours": model.gpu_hours,
        "scores": dict(model.scores),
        "toolCallParser": model.tool_call_parser or model.family.tool_call_parser,
        "chatTemplate": model.chat_template or model.family.chat_template,
    }

"""The catalogue in tables and documents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from llama_operator.api.errors import UnknownModel
from llama_operator.catalog.model import Meta, Model
from llamactl import output
from llamactl.errors import BadValueError
from llamactl.known import models
from llamactl.near import or_list
from llamactl.table import Column, pairs, render
from llamactl.units import bytes_text

COLUMNS = (
    Column("MODEL"),
    Column("PARAMS", right=True, optional=True),
    Column("CONTEXT", right=True, optional=True),
    Column("WEIGHTS", right=True, optional=True),
    Column("LAYERS", right=True, optional=True),
    Column("HEADS", right=True, optional=True),
    Column("GATED", optional=True),
)
WIDE = (Column("HUGGING FACE"), Column("NOTE"))


def listed(everything: bool) -> list[Model]:
    """The models that can be served, or all."""
    return [model for model in models() if everything or model.servable]


def find(text: str) -> Model:
    """The model that a person means. Raises BadValueError with the nearest names."""
    try:
        model = models().resolve(text)
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
    """One line each; `wide` is for wide terminals and pipes.

    Where some cannot be served a column says so, and a line where the reason is.
    """
    refused = any(not model.servable for model in found)
    columns = [*COLUMNS, *(WIDE if wide else ())]
    rows = [_row(model, wide) for model in found]
    if refused:
        columns.insert(1, Column("SERVED"))
        for model, row in zip(found, rows, strict=True):
            row.insert(1, "yes" if model.servable else "no")
    shown = render(columns, rows, 10_000 if wide else width)
    return f"{shown}\nWhy one is not served: llamactl models show NAME." if refused else shown


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
        ("Based on", f"Llama {model.based_on}" if model.based_on else ""),
        ("Variant", model.variant),
        ("Modality", model.modality),
        ("Parameters", f"{params(model.params)} ({model.params:,})"),
        ("Active", params(model.active_params) if model.active_params else ""),
        ("Weights", _weights(model)),
        ("Context", f"{model.context:,} tokens"),
        ("Layers", str(shape.num_layers)),
        ("Hidden size", f"{shape.hidden_size:,}"),
        ("Heads", f"{shape.num_attention_heads}, of size {shape.head_dim}"),
        ("KV heads", str(shape.num_kv_heads)),
        ("Feed-forward", f"{shape.intermediate_size:,}"),
        ("Vocabulary", f"{shape.vocab_size:,}"),
        ("Type", " ".join(filter(None, (shape.dtype, shape.quantization)))),
        ("KV per token", f"{model.kv_bytes_per_token:,} bytes"),
        ("Attention", family.attention),
        ("Rope", _rope(model)),
        ("Tied embeddings", "yes" if shape.tied_embeddings else "no"),
        ("Tokenizer", family.tokenizer),
        ("Hugging Face", model.hf_repo or ""),
        ("Also named", ", ".join(model.hf_aliases)),
        ("Gated", _gated(model)),
        ("Files", f"{model.shards} safetensors" if model.shards else ""),
        ("Meta's folder", meta.folder if meta else ""),
        ("MP value", f"{meta.mp} (of Meta's files, not of serving)" if meta else ""),
        ("Meta's files", _meta_files(meta) if meta else ""),
        ("Licence", model.license or family.license),
        ("Territory", model.territory or family.territory),
        ("Training tokens", _trillions(model.training_tokens or family.training_tokens)),
        ("GPU hours", _gpu_hours(model)),
        ("Scores", _scores(model.scores)),
        ("Others' scores", _others() if model.scores else ""),
        ("Tool calls", model.tool_call_parser),
        ("Chat template", model.chat_template),
        ("Prompt", model.prompt),
        ("Notes", family.notes),
        ("Uncertain", "; ".join(model.uncertain)),
    ]


def _gpu_hours(model: Model) -> str:
    gpu = f" on {model.family.training_gpu}" if model.family.training_gpu else ""
    return f"{model.gpu_hours:,}{gpu}" if model.gpu_hours else ""


def _weights(model: Model) -> str:
    size = model.weights_bytes
    return f"{bytes_text(size)} ({size:,} bytes)" if size else ""


def _scores(found: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:g}" for name, value in found.items())


def _others() -> str:
    """Published beside the family's, to read its scores by."""
    found = models().comparisons
    return "; ".join(f"{name}: {_scores(scores)}" for name, scores in found.items())


def _rope(model: Model) -> str:
    scaling = ", ".join(
        f"{key} {value:g}" if isinstance(value, int | float) else f"{key} {value}"
        for key, value in (model.rope_scaling or {}).items()
    )
    return f"theta {model.rope_theta:,.0f}" + (f"; {scaling}" if scaling else "")


def _gated(model: Model) -> str:
    if not model.hf_repo:
        return ""
    return "yes: accept the licence on its page, then use a token" if model.gated else "no"


def _meta_files(meta: Meta) -> str:
    size = f" of {meta.pth_bytes:,} bytes each" if meta.pth_bytes else ""
    checks = "" if meta.checklist else "; no checklist.chk"
    return f"{meta.pth_files} x consolidated.*.pth{size}{checks}"


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
    return {
        "id": model.id,
        "generation": model.generation,
        "basedOn": model.based_on,
        "released": model.family.released,
        "variant": model.variant,
        "modality": model.modality,
        "servable": model.servable,
        "refusal": model.refusal,
        "params": model.params,
        "activeParams": model.active_params,
        "weightsBytes": model.weights_bytes,
        "largestTensorBytes": model.largest_tensor_bytes,
        "context": model.context,
        "kvBytesPerToken": model.kv_bytes_per_token,
        "shape": model.shape.to_status(),
        "attention": model.family.attention,
        "ropeTheta": model.rope_theta,
        "ropeScaling": dict(model.rope_scaling) if model.rope_scaling else None,
        "tokenizer": model.family.tokenizer,
        **_places(model),
        "license": model.license or model.family.license,
        "territory": model.territory or model.family.territory,
        "trainingTokens": model.training_tokens or model.family.training_tokens,
        "gpuHours": model.gpu_hours,
        "trainingGpu": model.family.training_gpu if model.gpu_hours else "",
        "scores": dict(model.scores),
        "othersScores": dict(models().comparisons) if model.scores else {},
        "toolCallParser": model.tool_call_parser,
        "chatTemplate": model.chat_template,
        "prompt": model.prompt,
        "notes": model.family.notes,
        "uncertain": list(model.uncertain),
    }


def _places(model: Model) -> dict[str, Any]:
    meta = model.meta
    held = {
        "folder": meta.folder,
        "aliases": list(meta.aliases),
        "mp": meta.mp,
        "pthFiles": meta.pth_files,
        "pthBytes": meta.pth_bytes,
        "checklist": meta.checklist,
    } if meta else None  # fmt: skip
    return {
        "huggingFace": model.hf_repo,
        "huggingFaceAliases": list(model.hf_aliases),
        "gated": model.gated,
        "shards": model.shards,
        "meta": held,
    }

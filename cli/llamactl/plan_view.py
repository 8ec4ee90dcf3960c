"""The page of `llamactl plan`: the choice in full, the others as a table. Pure."""

from __future__ import annotations

from typing import Any

import click

from llamactl.candidates import Answer, Candidate
from llamactl.membar import PARTS, bar
from llamactl.output import bad, good
from llamactl.source import Source
from llamactl.table import Column, pairs, render
from llamactl.units import bytes_text

BAR_CELLS = 16
COLUMNS = (
    Column("FITS"),
    Column("GPU"),
    Column("GPUS", right=True),
    Column("TP", right=True),
    Column("PP", right=True, optional=True),
    Column("CONTEXT", right=True),
    Column("KV TOKENS", right=True),
    Column("TOK/S", right=True, optional=True),
    Column("MEMORY", optional=True),
)
LEGEND = "Memory of one GPU: " + ", ".join(f"{letter} {name}" for _, letter, name in PARTS)


def text(found: Answer, source: Source, width: int, explain: bool) -> str:
    """The whole answer."""
    parts = [_choice(found.chosen, source, width)] if found.chosen else []
    if found.candidates:
        parts.append(f"{_table(found, width)}\n{LEGEND}.")
    if explain:
        parts.append(_reasons(found, width))
    return "\n\n".join(parts)


def _choice(chosen: Candidate, source: Source, width: int) -> str:
    plan = chosen.plan
    rows = [
        ("Model", source.model),
        ("GPUs", f"{plan.gpus} x {plan.gpu_product}" if plan.gpu_product else str(plan.gpus)),
        ("Parallel", f"tensor {plan.tensor_parallel}, pipeline {plan.pipeline_parallel}"),
        ("Type", f"{plan.dtype}, quantization {plan.quantization}"),
        ("Context", f"{plan.max_model_len:,} tokens, up to {plan.max_num_seqs} at once"),
        ("KV cache", f"{plan.kv_tokens:,} tokens: {_concurrency(chosen)} of the full context"),
        *_memory(chosen),
        *_speed(chosen),
        ("Why", chosen.reason),
    ]
    return pairs(rows, width)


def _concurrency(chosen: Candidate) -> str:
    return f"{chosen.plan.kv_tokens / max(1, chosen.plan.max_model_len):.1f} requests"


def _memory(chosen: Candidate) -> list[tuple[str, str]]:
    sizes = chosen.plan.per_gpu.to_status()
    words = ", ".join(f"{name} {bytes_text(sizes[key])}" for key, _, name in PARTS if sizes[key])
    return [("Per GPU", words)]


def _speed(chosen: Candidate) -> list[tuple[str, str]]:
    speed = chosen.speed
    if speed is None or not speed.tokens_per_second:
        return []
    return [
        (
            "Estimate",
            f"{speed.tokens_per_second:.0f} tokens/s for one request, "
            f"{speed.batch_tokens_per_second:,.0f} for {speed.batch} together, first token "
            f"after {1000 * speed.first_token_seconds:.0f} ms (512-token prompt); a roofline, "
            "not a promise",
        )
    ]


def _table(found: Answer, width: int) -> str:
    return render(COLUMNS, [_row(each, each is found.chosen) for each in found.candidates], width)


def _row(each: Candidate, is_chosen: bool) -> list[str]:
    plan = each.plan
    fits = good("chosen" if is_chosen else "yes") if each.fits else bad("no")
    speed = each.speed.tokens_per_second if each.speed else 0
    gpus = f"{each.replicas} x {plan.gpus}" if each.replicas > 1 else str(plan.gpus)
    return [
        fits,
        plan.gpu_product.removeprefix("NVIDIA-") or "cpu",
        gpus,
        str(plan.tensor_parallel),
        str(plan.pipeline_parallel),
        f"{plan.max_model_len:,}" if each.fits else "-",
        f"{plan.kv_tokens:,}",
        f"{speed:.0f}" if speed else "-",
        bar(_sizes(each), BAR_CELLS),
    ]


def _sizes(each: Candidate) -> dict[str, Any]:
    return dict(each.plan.per_gpu.to_status())


def _reasons(found: Answer, width: int) -> str:
    rows = [
        (f"{each.plan.gpus} x {each.plan.gpu_product or 'cpu'}", each.reason)
        for each in found.candidates
    ]
    return f"{click.style('Why each', bold=True)}\n{pairs(rows, width)}"

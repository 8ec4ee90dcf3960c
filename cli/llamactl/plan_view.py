"""The page of `llamactl plan`: the choice in full, the others as a table. Pure."""

from __future__ import annotations

import textwrap

import click

from llama_operator.planner.delivery import HEADROOM, SMALLEST_VOLUME, Delivery
from llama_operator.planner.plan import Host, Request
from llama_operator.planner.speed import PROMPT, Speed
from llamactl.asking import options
from llamactl.candidates import RULES, Answer, Candidate
from llamactl.membar import PARTS, bar
from llamactl.output import bad, good
from llamactl.source import Source
from llamactl.table import Column, pairs, render
from llamactl.units import bytes_text, duration, rate_text

BAR_CELLS = 12
COLUMNS = (
    Column("FITS"),
    Column("GPU"),
    Column("GPUS", right=True),
    Column("TPxPP", right=True),
    Column("CONTEXT x N", right=True),
    Column("MEMORY", optional=True),
    Column("TOK/S", right=True, optional=True),
    Column("FIRST", right=True, optional=True),
    Column("ALL", right=True, optional=True),
    Column("KV TOKENS", right=True, optional=True),
)
LEGEND = (
    "CONTEXT x N: tokens of a request, and how many such requests the KV cache holds.",
    f"MEMORY of one GPU: {', '.join(f'{letter} {name}' for _, letter, name in PARTS)}.",
    "TOK/S of one request = 1 / (weights and cache read / bandwidth + all-reduces); ALL: of all "
    "that are planned at once.",
    f"FIRST token = 2 x parameters x {PROMPT} / (GPUs x FLOPS) + all-reduces + one step. These are "
    "estimates; --explain shows their numbers.",
)


def text(
    found: Answer, source: Source, delivery: Delivery, width: int, explain: bool, yaml: str = ""
) -> str:
    """The whole answer; `yaml` is the object to apply."""
    parts = [_choice(found.chosen, source, delivery, width)] if found.chosen else []
    if found.candidates:
        legend = "\n".join(_wrapped(line, width) for line in LEGEND)
        parts.append(f"{_table(found, width)}\n{legend}")
    if explain:
        parts += [_arithmetic(found, delivery, width), _reasons(found, width)]
    if yaml:
        parts.append(f"{click.style('To apply', bold=True)}\n{yaml}")
    return "\n\n".join(parts)


def _choice(chosen: Candidate, source: Source, delivery: Delivery, width: int) -> str:
    plan = chosen.plan
    cards = f"{plan.gpus} x {plan.gpu_product}" if plan.gpu_product else f"none, {plan.gpus} ranks"
    over = f", over {plan.nodes} nodes" if plan.nodes > 1 else ""
    rows = [
        ("Model", source.model),
        *([("Commit", source.commit)] if source.commit else []),
        ("GPUs", cards + over),
        *([("Nodes", ", ".join(chosen.nodes))] if chosen.nodes else []),
        ("Parallel", f"tensor {plan.tensor_parallel}, pipeline {plan.pipeline_parallel}"),
        ("Type", f"{plan.dtype}, quantization {plan.quantization}"),
        ("Context", f"{plan.max_model_len:,} tokens, up to {plan.max_num_seqs} at once"),
        ("KV cache", f"{plan.kv_tokens:,} tokens: {_concurrency(chosen)} of the full context"),
        *_memory(chosen),
        *_speed(chosen),
        ("Each pod" if plan.nodes > 1 else "Pod", _pod(plan.host)),
        ("Disk", _disk(delivery)),
        ("Why", options(chosen.reason)),
    ]
    return pairs(rows, width)


def _concurrency(chosen: Candidate) -> str:
    return f"{chosen.plan.full_context_requests:,.1f} requests"


def _memory(chosen: Candidate) -> list[tuple[str, str]]:
    sizes = chosen.plan.per_gpu.to_status()
    words = ", ".join(f"{name} {bytes_text(sizes[key])}" for key, _, name in PARTS if sizes[key])
    return [("Per GPU", words)]


def _speed(chosen: Candidate) -> list[tuple[str, str]]:
    speed = chosen.speed
    if speed is None or not speed.tokens_per_second:
        return []
    one = f"{speed.tokens_per_second:,.0f} tokens/s for one request"
    together = f"{speed.batch_tokens_per_second:,.0f} for {speed.batch:,} together"
    first = f"first token after {1000 * speed.first_token_seconds:,.0f} ms ({PROMPT}-token prompt)"
    return [("Estimate", f"{one}, {together}, {first}; a roofline, not a promise")]


def _pod(host: Host) -> str:
    return (
        f"{host.cpu_millis / 1000:g} cpus, {bytes_text(host.memory_bytes)} memory, "
        f"{bytes_text(host.shm_bytes)} /dev/shm, {bytes_text(host.ephemeral_bytes)} scratch"
    )


def _disk(found: Delivery) -> str:
    return (
        f"volume of {bytes_text(found.volume_bytes)} for {bytes_text(found.file_bytes)}; "
        f"download {duration(found.download_seconds)} at {rate_text(found.bandwidth)}, "
        f"load {duration(found.load_seconds)} at {rate_text(found.read_speed)}"
    )


def _arithmetic(found: Answer, delivery: Delivery, width: int) -> str:
    """How the figures of the choice come about, line by line; long lines are wrapped."""
    from llama_operator.planner.explain import explain

    lines = [click.style("Arithmetic", bold=True)]
    if found.chosen:
        request = found.chosen.request
        products = {each.plan.gpu_product for each in found.candidates}
        if len(products) > 1:
            lines.append(f"of {len(products)} GPUs {request.objective} takes {_rule(request)}")
        lines += [options(line) for line in explain(request).splitlines()]
    lines += ["", *_delivery_lines(delivery)]
    return "\n".join(_wrapped(line, width) for line in lines)


def _rule(request: Request) -> str:
    return RULES[request.objective]


def _delivery_lines(found: Delivery) -> list[str]:
    size = f"{found.file_bytes:,} B"
    smallest = bytes_text(SMALLEST_VOLUME)
    return [
        f"volume: {size} x {HEADROOM:g} for the file system, at least {smallest} "
        f"= {found.volume_bytes:,} B",
        f"download: {size} / {rate_text(found.bandwidth)} = {found.download_seconds / 60:,.1f} min "
        "(--bandwidth)",
        f"load: {size} / {rate_text(found.read_speed)} = {found.load_seconds / 60:,.1f} min on "
        "every node (--read-speed); compiling and CUDA graphs come on top",
    ]


def _wrapped(line: str, width: int) -> str:
    return "\n".join(textwrap.wrap(line, width, subsequent_indent="    ")) if line else ""


def _table(found: Answer, width: int) -> str:
    return render(COLUMNS, [_row(each, each is found.chosen) for each in found.candidates], width)


def _row(each: Candidate, is_chosen: bool) -> list[str]:
    plan = each.plan
    fits = good("chosen" if is_chosen else "yes") if each.fits else bad("no")
    gpus = f"{each.replicas} x {plan.gpus}" if each.replicas > 1 else str(plan.gpus)
    return [
        fits,
        plan.gpu_product.removeprefix("NVIDIA-").removeprefix("AMD-Instinct-") or "cpu",
        gpus,
        f"{plan.tensor_parallel}x{plan.pipeline_parallel}",
        f"{plan.max_model_len:,} x {plan.full_context_requests:,.1f}" if each.fits else "-",
        bar(plan.per_gpu.to_status(), BAR_CELLS),
        *_estimates(each.speed),
        f"{plan.kv_tokens:,}",
    ]


def _estimates(speed: Speed | None) -> tuple[str, str, str]:
    if speed is None or not speed.tokens_per_second:
        return "-", "-", "-"
    first = f"{1000 * speed.first_token_seconds:,.0f} ms"
    return f"{speed.tokens_per_second:.0f}", first, f"{speed.batch_tokens_per_second:,.0f}"


def _reasons(found: Answer, width: int) -> str:
    rows = [
        (f"{each.plan.gpus} x {each.plan.gpu_product or 'cpu'}", options(each.reason))
        for each in found.candidates
    ]
    return f"{click.style('Why each', bold=True)}\n{pairs(rows, width)}"

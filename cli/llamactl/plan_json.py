"""`llamactl plan -o json`: a contract that scripts rely on. Pure.

Keys may be added, never renamed or left out: docs/sizing.md lists those that are promised.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from llama_operator.planner import versions
from llama_operator.planner.delivery import Delivery
from llama_operator.planner.host import Host
from llama_operator.planner.speed import Speed
from llamactl.candidates import Answer, Candidate

_NNODES_SINCE = (0, 12)


def document(answer: Answer, delivery: Delivery | None, commit: str) -> dict[str, Any]:
    """The whole answer; without a `delivery` not even the model could be read."""
    shown = [] if delivery is None else answer.candidates
    of = {id(each): candidate(each, delivery, commit) for each in shown if delivery}
    chosen = of[id(answer.chosen)] if answer.chosen else None
    value: dict[str, Any] = {"chosen": chosen, "candidates": list(of.values())}
    if answer.refused:
        refused = answer.refused
        value["refusal"] = {
            "reason": refused.reason,
            "field": refused.field,
            "message": refused.message,
            "fix": refused.fix,
            "choices": list(refused.choices),
        }
    return value


def candidate(found: Candidate, delivery: Delivery, commit: str) -> dict[str, Any]:
    """The candidate as the contract has it, with keys of ours beside the contract's."""
    plan, request = found.plan, found.request
    status = plan.to_status() | {"reason": found.reason}
    value: dict[str, Any] = {"fits": found.fits, "replicas": found.replicas, **status}
    value["kvCacheDtype"] = plan.kv_cache_dtype
    value["engine"] = request.engine
    value["vllmVersion"] = request.vllm_version if request.engine == "vllm" else ""
    value["fullContextRequests"] = round(plan.full_context_requests, 2)
    if found.speed is not None and found.speed.tokens_per_second:
        value["estimate"] = _estimate(found.speed)
    value["pod"] = _pod(plan.host)
    value["checkpoint"] = {
        "commit": commit or None,
        "tensorBytes": request.weights_bytes or None,
        **_delivered(delivery),
    }
    if found.nodes:
        value["nodeNames"] = list(found.nodes)
    return {**value, "vllmArgs": list(arguments(found))}


def arguments(found: Candidate) -> Iterator[str]:
    """Flags of `vllm serve` for this plan, of the version that it is made for; else none.

    Of several nodes each needs --node-rank and --master-addr as well, which no plan knows.
    """
    from llama_operator.render.flags import plan_args

    plan, request = found.plan, found.request
    if request.engine != "vllm":
        return
    version = versions.parse(request.vllm_version)
    yield from plan_args(plan, request.device)
    if plan.enforce_eager:
        yield "--enforce-eager"
    if plan.nodes > 1:
        ray = "--distributed-executor-backend=ray"
        yield f"--nnodes={plan.nodes}" if version >= _NNODES_SINCE else ray
    old = versions.engine_of(request.vllm_version).runner == "V0"
    if old and plan.max_num_batched_tokens < plan.max_model_len:
        # Before 0.8 a prompt had to fit in a batch unless this was said.
        yield "--enable-chunked-prefill"


def _estimate(speed: Speed) -> Mapping[str, float]:
    return {
        "tokensPerSecond": round(speed.tokens_per_second, 1),
        "batch": speed.batch,
        "batchTokensPerSecond": round(speed.batch_tokens_per_second, 1),
        "firstTokenSeconds": round(speed.first_token_seconds, 4),
    }


def _pod(host: Host) -> Mapping[str, int]:
    return {
        "cpuMillis": host.cpu_millis,
        "memoryBytes": host.memory_bytes,
        "shmBytes": host.shm_bytes,
        "ephemeralStorageBytes": host.ephemeral_bytes,
    }


def _delivered(found: Delivery) -> Mapping[str, float]:
    return {
        "fileBytes": found.file_bytes,
        "volumeBytes": found.volume_bytes,
        "bandwidthBytesPerSecond": round(found.bandwidth),
        "downloadSeconds": round(found.download_seconds, 1),
        "readBytesPerSecond": round(found.read_speed),
        "loadSeconds": round(found.load_seconds, 1),
    }

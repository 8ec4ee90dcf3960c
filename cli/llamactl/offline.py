"""The plan that `deploy` shows before anything is sent, where enough is known without a cluster."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from llama_operator.api.errors import PlanRefused

if TYPE_CHECKING:
    from llamactl.modelname import Resolved


def preview(resolved: Resolved, spec: Mapping[str, Any]) -> str:
    """ "Plan: ..." for a catalogue model on a GPU that the spec names; "" where that is not known.

    Raises PlanRefused where the operator would refuse in the same words: nothing is sent then.
    """
    gpu, sizing, engine = (spec.get(part) or {} for part in ("gpu", "sizing", "engine"))
    on_cpu = engine.get("device") == "cpu"
    if resolved.entry is None or not (gpu.get("product") or gpu.get("memory") or on_cpu):
        return ""
    from llama_operator.api.quantity import parse_bytes
    from llama_operator.planner import gpus
    from llama_operator.planner.plan import Request, plan

    memory = parse_bytes(gpu["memory"], "spec.gpu.memory") if gpu.get("memory") else None
    card = None if on_cpu else _card(gpus.find, gpu.get("product"), memory)
    if card is None and not on_cpu:
        return ""
    more = {
        "engine": engine.get("type"),
        "device": engine.get("device"),
        "gpu_count": gpu.get("count"),
        "enforce_eager": engine.get("enforceEager"),
        "vllm_version": engine.get("version"),
        **{ours: sizing.get(theirs) for ours, theirs in _SIZING.items()},
    }
    request = Request(
        shape=resolved.entry.shape,
        weights_bytes=resolved.entry.weights_bytes,
        gpu=card,
        model_name=resolved.model,
        **{key: value for key, value in more.items() if value is not None},
    )
    return f"Plan: {plan(request).reason}."


_SIZING = {
    "tensor_parallel": "tensorParallel",
    "pipeline_parallel": "pipelineParallel",
    "max_model_len": "maxModelLen",
    "max_num_seqs": "maxNumSeqs",
    "max_num_batched_tokens": "maxNumBatchedTokens",
    "gpu_memory_utilization": "gpuMemoryUtilization",
    "dtype": "dtype",
    "quantization": "quantization",
    "kv_cache_dtype": "kvCacheDtype",
    "objective": "objective",
}


def _card(find: Any, product: str | None, memory: int | None) -> Any:
    # A product that only the cluster's labels know is the operator's to judge.
    try:
        return find(product, memory)
    except PlanRefused:
        return None

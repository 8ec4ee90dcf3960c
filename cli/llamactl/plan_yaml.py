"""The LlamaDeployment that asks the operator for what `llamactl plan` chose. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llamactl import naming
from llamactl.candidates import Candidate
from llamactl.resources import DEPLOYMENTS
from llamactl.source import Source

# option -> path in the spec, for the YAML to apply
PINS = {
    "max_model_len": ("sizing", "maxModelLen"),
    "max_num_seqs": ("sizing", "maxNumSeqs"),
    "max_num_batched_tokens": ("sizing", "maxNumBatchedTokens"),
    "gpu_memory_utilization": ("sizing", "gpuMemoryUtilization"),
    "dtype": ("sizing", "dtype"),
    "quantization": ("sizing", "quantization"),
    "kv_cache_dtype": ("sizing", "kvCacheDtype"),
    "tensor_parallel": ("sizing", "tensorParallel"),
    "pipeline_parallel": ("sizing", "pipelineParallel"),
    "vllm_version": ("engine", "version"),
}


def manifest(found: Source, chosen: Candidate, given: Mapping[str, Any]) -> dict[str, Any]:
    """The object to apply: the GPUs of the choice, every pin, and no more than it takes.

    What the operator would choose by itself is left to it.
    """
    spec: dict[str, Any] = {"model": found.model, "gpu": {"count": chosen.plan.gpus}}
    if chosen.plan.gpu_product:
        spec["gpu"]["product"] = chosen.plan.gpu_product
    if given["gpu_memory"]:
        spec["gpu"]["memory"] = given["gpu_memory"]
    if chosen.request.engine != "vllm":
        spec["engine"] = {"type": chosen.request.engine}
    if chosen.request.device != "cuda":
        spec.setdefault("engine", {})["device"] = chosen.request.device
    if found.commit:
        # The commit that was planned: a branch may hold other weights when it is applied.
        spec["source"] = {"huggingFace": {"revision": found.commit}}
    for option, (part, field) in PINS.items():
        if given.get(option) is not None:
            spec.setdefault(part, {})[field] = given[option]
    if given["enforce_eager"]:
        spec.setdefault("engine", {})["enforceEager"] = True
    _promise(spec.setdefault("sizing", {}), chosen, found.shape.max_position)
    if not spec["sizing"]:
        del spec["sizing"]
    return {
        "apiVersion": DEPLOYMENTS.api_version,
        "kind": DEPLOYMENTS.kind,
        "metadata": {"name": naming.from_model(found.model)},
        "spec": spec,
    }


def _promise(sizing: dict[str, Any], chosen: Candidate, longest: int) -> None:
    """What the planner chose beyond what the operator would choose by itself."""
    plan, request = chosen.plan, chosen.request
    if plan.max_model_len < longest:
        sizing["maxModelLen"] = plan.max_model_len
    if request.concurrency:
        # A spec has no concurrency: the flags that came of it are what keeps the promise.
        sizing["maxNumSeqs"] = plan.max_num_seqs
        sizing["maxNumBatchedTokens"] = plan.max_num_batched_tokens
        if plan.gpu_memory_utilization:
            sizing["gpuMemoryUtilization"] = plan.gpu_memory_utilization
    if request.objective != "fit":
        sizing["objective"] = request.objective

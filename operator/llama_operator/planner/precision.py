"""In which number formats a model runs on a GPU, and which ones that GPU lacks."""

from __future__ import annotations

from typing import Final, NoReturn

from llama_operator.api.errors import PlanRefused
from llama_operator.planner.gpus import Gpu
from llama_operator.planner.request import Request
from llama_operator.planner.versions import Engine
from llama_operator.planner.weights import Precision

# Oldest compute capability that runs a method at all; FP8 below 8.9 is unpacked to 16 bits.
_OLDEST: Final = {
    "fp8": 8.0,
    "fbgemm_fp8": 8.0,
    "compressed-tensors": 7.5,
    "awq": 7.5,
    "gptq": 7.0,
    "modelopt": 8.9,
    "modelopt_fp4": 8.0,
}
_NAMES: Final = {"fbgemm_fp8": "fp8", "modelopt": "fp8"}


def precision_of(request: Request, engine: Engine) -> Precision:
    """The formats of a request. Raises PlanRefused (QuantizationUnsupported)."""
    gpu = request.gpu if request.device != "cpu" else None
    if gpu is not None:
        _check_age(gpu, engine, request)
    dtype = _dtype(request, gpu)
    method, online = _method(request)
    if gpu is not None and gpu.vendor == "nvidia":
        _check_method(method, gpu)
        _check_kv(request, gpu)
    kv_bytes = 1 if request.kv_cache_dtype == "fp8" else (4 if dtype == "float32" else 2)
    return Precision(dtype, kv_bytes, method, online)


def _check_age(gpu: Gpu, engine: Engine, request: Request) -> None:
    if gpu.vendor != "nvidia" or gpu.capability >= engine.min_capability:
        return
    raise PlanRefused(
        "GPUUnknown",
        f"{gpu.product} (compute capability {gpu.capability}) is older than vLLM "
        f"{request.vllm_version} supports ({engine.min_capability})",
        field="spec.gpu.product",
        fix="Use a newer GPU, or an older spec.engine.version with its own image",
    )


def _dtype(request: Request, gpu: Gpu | None) -> str:
    # vLLM's auto: float32 becomes the device's first choice, bfloat16 falls back to float16.
    has_bf16 = gpu is None or gpu.vendor != "nvidia" or gpu.capability >= 8.0
    if request.dtype == "bfloat16" and not has_bf16 and gpu is not None:
        _refuse(
            "spec.sizing.dtype", f"{gpu.product} has no bfloat16", "Use float16, or leave it out"
        )
    if request.dtype != "auto":
        return request.dtype
    if request.shape.dtype == "float16":
        return "float16"
    return "bfloat16" if has_bf16 else "float16"


def _method(request: Request) -> tuple[str, str]:
    """The method that the engine runs with, and the one that it applies while loading."""
    stored, asked = request.shape.quantization, request.quantization
    if asked in (None, "auto", stored or "none", _NAMES.get(stored)):
        return stored, ""
    if asked == "fp8" and not stored and request.device != "cpu":
        return "fp8", "fp8"
    raise _unloadable(stored, asked or "")


def _unloadable(stored: str, asked: str) -> PlanRefused:
    if stored:
        said, fix = f"the checkpoint is {stored}, which cannot be loaded as {asked}", "Leave it out"
    elif asked == "fp8":
        said, fix = "fp8 cannot be made on a CPU", "Use none"
    else:
        said = f"the checkpoint is not {asked}, and only fp8 can be made while loading"
        fix = "Use fp8 or none"
    fix += ", or take another checkpoint"
    return PlanRefused("QuantizationUnsupported", said, field="spec.sizing.quantization", fix=fix)


def _check_method(method: str, gpu: Gpu) -> None:
    oldest = _OLDEST.get(method, 0.0)
    if gpu.capability < oldest:
        _refuse(
            "spec.sizing.quantization",
            f"{gpu.product} (compute capability {gpu.capability}) cannot run {method}, "
            f"which needs {oldest}",
            "Use a 16-bit checkpoint, or a newer GPU",
        )


def _check_kv(request: Request, gpu: Gpu) -> None:
    if request.kv_cache_dtype == "fp8" and gpu.capability < 8.0:
        _refuse(
            "spec.sizing.kvCacheDtype",
            f"{gpu.product} (compute capability {gpu.capability}) has no FP8 KV cache",
            "Use auto",
        )


def _refuse(field: str, message: str, fix: str) -> NoReturn:
    raise PlanRefused("QuantizationUnsupported", message, field=field, fix=fix)

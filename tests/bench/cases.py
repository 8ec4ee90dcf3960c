"""Measured runs and published cases as planner requests, with what they really gave."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from llama_operator.api.errors import PlanRefused
from llama_operator.catalog import catalog
from llama_operator.catalog.shape import Shape
from llama_operator.planner import gpus
from llama_operator.planner.budget import Budget, budget
from llama_operator.planner.checkpoint import checkpoint_bytes
from llama_operator.planner.layout import Layout
from llama_operator.planner.plan import Request, choose, plan, speed_of, subject_of
from llama_operator.planner.settle import default_settings
from llama_operator.planner.speed import Speed
from llama_operator.planner.versions import engine_of
from llama_operator.planner.weights import embedding_bytes

DATA = Path(__file__).parent / "data"
# The engine of cases that do not name theirs: published between 0.8 and 0.11, or before.
_USUAL_VERSIONS = ("0.10.0", "0.6.0")
_PRODUCTS = {
    "H100-80": "NVIDIA-H100-80GB-HBM3",
    "H200-141": "NVIDIA-H200",
    "A100-80": "NVIDIA-A100-SXM4-80GB",
    "A100-40": "NVIDIA-A100-SXM4-40GB",
    "A6000-48": "NVIDIA-RTX-A6000",
    "A10-24": "NVIDIA-A10",
    "A10G-24": "NVIDIA-A10G",
    "L4-24": "NVIDIA-L4",
    "RTX3090-24": "NVIDIA-GeForce-RTX-3090",
    "MI300X-192": "AMD-Instinct-MI300X-OAM",
    "B200-180": "NVIDIA-B200",
    "GH200-96": "NVIDIA-GH200-480GB",
}
_LINEAR_BYTES = {"fp8": 1.0, "awq": 0.53, "gptq": 0.53, "nvfp4": 0.5625}


@dataclass(frozen=True)
class Case:
    """A request that somebody ran: `kv_tokens` and `works` are what came of it."""

    name: str
    request: Request
    works: bool
    kv_tokens: int | None
    test: str
    raw: dict[str, Any]

    def predicted(self) -> Budget:
        """The memory that the planner foretells for exactly these flags."""
        request = self.request
        subject = subject_of(request)
        layout = Layout(request.tensor_parallel or 1, request.pipeline_parallel or 1)
        settings = default_settings(request, subject.engine)
        warm = self.raw.get("compile_cache") == "warm"
        return budget(subject, layout, settings._replace(warm=warm))

    def verdict(self) -> PlanRefused | None:
        """The planner's refusal of exactly these flags; None where it accepts them."""
        try:
            plan(pinned(self.request))
        except PlanRefused as refused:
            return refused
        return None


def pinned(request: Request) -> Request:
    """The request with every flag that it left to vLLM's defaults pinned to them."""
    settings = default_settings(request, engine_of(request.vllm_version))
    return replace(
        request,
        max_num_seqs=settings.max_num_seqs,
        max_num_batched_tokens=settings.max_num_batched_tokens,
        gpu_memory_utilization=settings.utilization,
    )


class Pace(NamedTuple):
    """How quick a server was: output tokens per second of all requests together."""

    gpus: int
    requests: int
    tokens_per_second: float
    first_token_seconds: float = 0.0

    def predicted(self) -> Speed:
        """The planner's estimate for Llama 3.1 8B on as many H100s."""
        model = catalog.load().resolve("8b")
        request = Request(
            shape=model.shape,
            weights_bytes=model.weights_bytes,
            gpu=gpus.find("h100"),
            gpu_count=self.gpus,
        )
        return speed_of(request, choose(request, subject_of(request)), self.requests)


def paces() -> list[Pace]:
    """Measured speeds of Llama 3.1 8B."""
    return [Pace(**each) for each in _measurements()["speeds"]]


@cache
def _measurements() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((DATA / "measured.json").read_bytes())
    return found


def measured() -> list[Case]:
    """Runs of vLLM 0.24.0 on one and two H100s."""
    data = _measurements()
    gpu = replace(gpus.find("h100"), memory_bytes=data["card_bytes"])
    return [_measured(run, gpu, data["vllm_version"]) for run in data["runs"]]


def _measured(run: dict[str, Any], gpu: gpus.Gpu, version: str) -> Case:
    flags = ("max_num_seqs", "max_num_batched_tokens", "gpu_memory_utilization", "max_model_len")
    request = Request(
        model_name=run["run"],
        shape=Shape(**run["shape"]),
        weights_bytes=run["weights_bytes"],
        gpu=gpu,
        tensor_parallel=run["tensor_parallel"],
        pipeline_parallel=run["pipeline_parallel"],
        kv_cache_dtype=run.get("kv_cache_dtype", "auto"),
        enforce_eager=run.get("enforce_eager", False),
        vllm_version=version,
        **{key: run[key] for key in flags if key in run},
    )
    tokens = run.get("kv_tokens") or run.get("would_fit")
    return Case(run["run"], request, run["outcome"] == "accepted", tokens, "measured", run)


def published() -> list[Case]:
    """Cases of other people, on many GPUs and versions."""
    data = json.loads((DATA / "published.json").read_bytes())
    return [_published(raw) for raw in data["cases"]]


def _published(raw: dict[str, Any]) -> Case:
    shape, size = _checkpoint(raw["model"], raw["dtype"])
    kind = raw["gpu"]
    gpu = gpus.table().get(_PRODUCTS.get(kind, ""), gpus.Gpu(kind, 0))
    request = Request(
        model_name=raw["model"],
        shape=shape,
        weights_bytes=size,
        device="rocm" if gpu.vendor == "amd" else "cuda",
        gpu=replace(gpu, memory_bytes=int(raw["gpu_mem_gib"] * gpus.GIB)),
        tensor_parallel=raw["tp"],
        pipeline_parallel=raw["pp"],
        nodes=-(-raw["gpus"] // 8),
        max_model_len=raw.get("max_model_len"),
        max_num_seqs=raw.get("max_num_seqs"),
        max_num_batched_tokens=raw.get("max_num_batched_tokens"),
        gpu_memory_utilization=raw.get("gpu_memory_utilization"),
        kv_cache_dtype=raw["kv_cache_dtype"],
        enforce_eager=raw.get("enforce_eager", False),
        vllm_version=_version(raw),
    )
    return Case(
        raw["id"], request, raw["outcome"] == "works", _reported(raw, request), raw["test"], raw
    )


def _version(raw: dict[str, Any]) -> str:
    text = raw.get("vllm_version", "").replace(".x", ".0").replace(".dev", "")
    return text if text[:1].isdigit() else _USUAL_VERSIONS[raw["test"] == "outcome-old"]


def _reported(raw: dict[str, Any], request: Request) -> int | None:
    if "reported_kv_tokens" in raw:
        return int(raw["reported_kv_tokens"])
    if raw.get("available_kv_gib", 0) <= 0:
        return None
    shape, size = request.shape, request.tensor_parallel or 1
    heads = max(1, shape.num_kv_heads // size)
    each = 2 * shape.num_layers * heads * shape.head_dim * 2
    return int(raw["available_kv_gib"] * gpus.GIB / each)


def _checkpoint(name: str, dtype: str) -> tuple[Shape, int]:
    """Shape and bytes of a checkpoint that people named in their own words."""
    model = catalog.load().resolve(name.split("(", maxsplit=1)[0])
    shape, size = model.shape, model.weights_bytes
    if shape.quantized or dtype in ("bf16", "fp16"):
        stored = "float16" if dtype == "fp16" else shape.dtype
        return replace(shape, dtype=stored), size
    method = next(each for each in _LINEAR_BYTES if dtype.startswith(each))
    if method == "gptq" and "GB" in dtype:
        return replace(shape, quantization="gptq"), int(39.8e9)
    whole = checkpoint_bytes(shape)
    tables = embedding_bytes(shape, 2) * (1 if shape.tied_embeddings else 2)
    linear = (whole - tables) // 2
    quantization = {"nvfp4": "modelopt_fp4"}.get(method, method)
    return replace(shape, quantization=quantization), int(linear * _LINEAR_BYTES[method]) + tables

"""The plan itself: what is served, how it is cut, and where every byte goes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from llama_operator.planner.host import Host

__all__ = ["Host", "PerGpu", "Plan"]


class PerGpu(NamedTuple):
    """Bytes on the fullest GPU of a replica; they sum up to the card.

    `other_bytes` are the CUDA context, NCCL, vLLM's own buffers and what a full batch takes over
    the peak of the profile run. `cuda_graph_bytes` are 0 where graphs lie within that peak. A CPU
    has no card: `free_bytes` is 0 there.
    """

    weights_bytes: int
    kv_cache_bytes: int
    activation_bytes: int
    cuda_graph_bytes: int
    other_bytes: int
    free_bytes: int

    def to_status(self) -> dict[str, int]:
        """camelCase, as in `status.plan.perGpu`."""
        return {
            "weightsBytes": self.weights_bytes,
            "kvCacheBytes": self.kv_cache_bytes,
            "activationBytes": self.activation_bytes,
            "cudaGraphBytes": self.cuda_graph_bytes,
            "otherBytes": self.other_bytes,
            "freeBytes": self.free_bytes,
        }


@dataclass(frozen=True)
class Plan:
    """How one replica is served.

    `kv_tokens` is what vLLM prints as "GPU KV cache size", `kv_cache_bytes` its bytes on one
    rank, `online_quantization` what is quantised while loading ("" for nothing), `reason` one
    sentence that says what was chosen and what was changed to make it fit.
    """

    gpus: int
    gpu_product: str
    tensor_parallel: int
    pipeline_parallel: int
    nodes: int
    dtype: str
    quantization: str
    max_model_len: int
    max_num_seqs: int
    max_num_batched_tokens: int
    gpu_memory_utilization: float
    kv_tokens: int
    kv_cache_bytes: int
    per_gpu: PerGpu
    host: Host
    reason: str
    kv_cache_dtype: str = "auto"
    online_quantization: str = ""
    enforce_eager: bool = False
    changes: tuple[str, ...] = ()

    @property
    def full_context_requests(self) -> float:
        """Requests of the whole context that the KV cache holds at once: its tokens / context."""
        return self.kv_tokens / self.max_model_len

    def to_data(self) -> dict[str, Any]:
        """All of it as plain data, for `from_data`."""
        nested = {"per_gpu": self.per_gpu._asdict(), "host": self.host._asdict()}
        return {**vars(self), **nested, "changes": list(self.changes)}

    @classmethod
    def from_data(cls, data: dict[str, Any]) -> Plan:
        """The plan that `to_data` wrote. Raises TypeError or KeyError for anything else."""
        nested = {"per_gpu": PerGpu(**data["per_gpu"]), "host": Host(**data["host"])}
        return cls(**{**data, **nested, "changes": tuple(data["changes"])})

    def to_status(self) -> dict[str, Any]:
        """The object of `status.plan`, camelCase."""
        return {
            "gpus": self.gpus,
            "gpuProduct": self.gpu_product,
            "tensorParallel": self.tensor_parallel,
            "pipelineParallel": self.pipeline_parallel,
            "nodes": self.nodes,
            "dtype": self.dtype,
            "quantization": self.quantization,
            "maxModelLen": self.max_model_len,
            "maxNumSeqs": self.max_num_seqs,
            "maxNumBatchedTokens": self.max_num_batched_tokens,
            "gpuMemoryUtilization": self.gpu_memory_utilization,
            "kvTokens": self.kv_tokens,
            "perGpu": self.per_gpu.to_status(),
            "reason": self.reason,
        }

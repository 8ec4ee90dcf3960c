"""From the options of `plan` to what the planner is asked: one request for each kind of GPU."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from llama_operator.api.errors import LlamaError, PlanRefused
from llama_operator.api.quantity import parse_bytes
from llama_operator.planner import gpus
from llama_operator.planner.plan import Request
from llamactl import output
from llamactl.errors import BadValueError

if TYPE_CHECKING:
    from llamactl.source import Source

USUAL_GPUS = (
    "NVIDIA-L4",
    "NVIDIA-A10",
    "NVIDIA-L40S",
    "NVIDIA-A100-SXM4-40GB",
    "NVIDIA-A100-SXM4-80GB",
    "NVIDIA-H100-80GB-HBM3",
    "NVIDIA-H200",
    "NVIDIA-B200",
    "AMD-Instinct-MI300X-OAM",
)
USUAL_PER_NODE = 8
OF_REQUEST = (
    "max_model_len", "max_num_seqs", "max_num_batched_tokens", "gpu_memory_utilization", "dtype",
    "quantization", "kv_cache_dtype", "tensor_parallel", "pipeline_parallel", "vllm_version",
    "gpu_count", "nodes", "concurrency", "objective", "enforce_eager", "engine",
)  # fmt: skip
# A planner's field and the option that sets it.
SPEC_FIELDS = {
    "spec.gpu.count": "--gpus",
    "spec.gpu.product": "--gpu",
    "spec.gpu.memory": "--gpu-memory",
    "spec.sizing.maxModelLen": "--max-model-len",
    "spec.sizing.tensorParallel": "--tensor-parallel",
    "spec.sizing.pipelineParallel": "--pipeline-parallel",
    "spec.sizing.nodes": "--nodes",
    "spec.sizing.dtype": "--dtype",
    "spec.sizing.kvCacheDtype": "--kv-cache-dtype",
    "spec.sizing.quantization": "--quantization",
    "spec.sizing.gpuMemoryUtilization": "--gpu-memory-utilization",
    "spec.sizing.maxNumSeqs": "--max-num-seqs",
    "spec.sizing.maxNumBatchedTokens": "--max-num-batched-tokens",
    "spec.engine.version": "--vllm-version",
    "spec.engine.type": "--engine",
    "spec.engine.enforceEager": "--enforce-eager",
    "spec.sizing.objective": "--objective",
    "spec.model": "MODEL",
}
_WORDS = {"tensorParallel": "--tensor-parallel", "pipelineParallel": "--pipeline-parallel"}
_DEVICES = {"nvidia": "cuda", "amd": "rocm"}


class Asked(NamedTuple):
    """A request, and the nodes that have its GPU where a cluster was read."""

    request: Request
    nodes: tuple[str, ...] = ()


class _Cards(NamedTuple):
    gpu: gpus.Gpu
    per_node: int
    nodes: tuple[str, ...] = ()


def requests(found: Source, given: Mapping[str, Any]) -> list[Asked]:
    """Raises BadValueError for options that are wrong or exclude each other, CliError."""
    more = {key: given[key] for key in OF_REQUEST if given.get(key) is not None}
    base: dict[str, Any] = {
        **more,
        "shape": found.shape,
        "weights_bytes": found.weights_bytes,
        "model_name": found.model,
    }
    _check_exclusive(given)
    if given["device"] == "cpu":
        return [Asked(Request(**base, device="cpu"))]
    return [_asked(base, each, given["device"]) for each in _cards(given)]


def _asked(base: Mapping[str, Any], cards: _Cards, device: str | None) -> Asked:
    fitting = _DEVICES[cards.gpu.vendor]
    if device not in (None, fitting):
        raise BadValueError(
            f"{device} is not what {cards.gpu.product} computes with",
            field="--device",
            fix=f"Leave it out, or use {fitting}",
        )
    request = Request(
        **base,
        device=fitting,
        gpu=cards.gpu,
        gpus_per_node=cards.per_node,
        most_nodes=len(cards.nodes) or None,
    )
    return Asked(request, cards.nodes)


def _check_exclusive(given: Mapping[str, Any]) -> None:
    if given.get("engine") == "transformers" and given.get("vllm_version"):
        raise BadValueError(
            "it excludes --engine transformers", field="--vllm-version", fix="Leave one of them out"
        )
    cpu = given["device"] == "cpu"
    for option, value in (
        ("--gpu", given["products"]),
        ("--gpu-memory", given["gpu_memory"]),
        ("--gpus-per-node", given["gpus_per_node"]),
        ("--from-cluster", given["from_cluster"] and cpu),
    ):
        if value and (cpu or given["from_cluster"]):
            other = "--device cpu" if cpu else "--from-cluster"
            raise BadValueError(f"it excludes {other}", field=option, fix="Leave one of them out")


def _cards(given: Mapping[str, Any]) -> Sequence[_Cards]:
    if given["from_cluster"]:
        return _of_cluster(given["device"])
    per_node = given["gpus_per_node"] or USUAL_PER_NODE
    return [_Cards(gpu, per_node) for gpu in _named(given)]


def _of_cluster(device: str | None) -> list[_Cards]:
    from llamactl import node_gpus

    found = node_gpus.read()
    for each in found.cards:
        output.talk(f"Found {each}")
    for note in found.notes:
        output.talk(f"Left out {note}")
    output.talk("GPUs that other pods hold are not subtracted.")
    kept = [each for each in found.cards if device in (None, _DEVICES[each.gpu.vendor])]
    if not kept:
        raise BadValueError(f"no node has GPUs for {device}", field="--device", fix="Leave it out")
    return [_Cards(each.gpu, each.per_node, each.nodes) for each in kept]


def _named(given: Mapping[str, Any]) -> list[gpus.Gpu]:
    text = given["gpu_memory"]
    memory = _memory(text) if text else None
    names = given["products"] or (("",) if memory else USUAL_GPUS)
    try:
        return [gpus.find(name, memory) for name in names]
    except PlanRefused as error:
        field = options(error.field)
        raise BadValueError(error.message, field=field, fix=options(error.fix)) from error


def _memory(text: str) -> int:
    try:
        return parse_bytes(text, "--gpu-memory")
    except (LlamaError, ArithmeticError) as error:
        raise BadValueError(
            f"{text[:40]!r} is not a quantity", field="--gpu-memory", fix="Write it like 80Gi"
        ) from error


def options(text: str) -> str:
    """The planner's words with its field names as the options that set them."""
    for field, option in (SPEC_FIELDS | _WORDS).items():
        text = text.replace(field, option)
    return text

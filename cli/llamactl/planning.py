"""The steps of `plan`: read the model, ask the planner, show its answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llama_operator.api.errors import LlamaError, PlanRefused
from llama_operator.api.quantity import parse_bytes
from llama_operator.planner import gpus
from llama_operator.planner.plan import Request
from llamactl import candidates, naming, output, source
from llamactl.candidates import Answer
from llamactl.errors import BadValueError, sentence
from llamactl.resources import DEPLOYMENTS

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
OF_REQUEST = (
    *PINS, "gpu_count", "nodes", "gpus_per_node", "concurrency", "objective", "enforce_eager",
    "device",
)  # fmt: skip
SPEC_FIELDS = {
    "spec.gpu.count": "--gpus",
    "spec.gpu.product": "--gpu",
    "spec.gpu.memory": "--gpu-memory",
    "spec.sizing.maxModelLen": "--max-model-len",
    "spec.sizing.tensorParallel": "--tensor-parallel",
    "spec.sizing.pipelineParallel": "--pipeline-parallel",
    "spec.sizing.nodes": "--nodes",
    "spec.sizing.quantization": "--quantization",
    "spec.sizing.gpuMemoryUtilization": "--gpu-memory-utilization",
    "spec.engine.version": "--vllm-version",
    "spec.sizing.maxNumSeqs": "--max-num-seqs",
    "spec.sizing.maxNumBatchedTokens": "--max-num-batched-tokens",
}


def run(model: str, given: Mapping[str, Any], fmt: str, explain: bool) -> bool:
    """Plan and show; False where nothing fits. Raises BadValueError for a bad argument."""
    found: source.Source | None = None
    try:
        found = source.find(model)
        answer = candidates.answer(_requests(found, given))
    except PlanRefused as error:
        answer = Answer(None, (), error)
    except LlamaError as error:
        # Not a refusal but a value that cannot be, such as a vLLM version of letters.
        raise _bad_value(error) from error
    if found and found.said:
        output.talk(found.said)
    if fmt == "json":
        output.document(_json(answer, given["device"]), "json")
    elif fmt == "yaml" and answer.chosen and found:
        output.document(_manifest(found, answer.chosen, given), "yaml")
    elif fmt == "table" and found:
        from llamactl.plan_view import text

        shown = text(answer, found, output.width(), explain)
        if shown:
            output.data(shown)
    if answer.refused:
        _refuse(answer.refused)
    return answer.chosen is not None


def _bad_value(error: LlamaError) -> LlamaError:
    if isinstance(error, BadValueError):
        return error
    field = _options(error.field)
    return BadValueError(error.message, field=field, fix=_options(error.fix))


def _requests(found: source.Source, given: Mapping[str, Any]) -> list[Request]:
    more = {key: given[key] for key in OF_REQUEST if given.get(key) is not None}
    base: dict[str, Any] = {
        "shape": found.shape,
        "weights_bytes": found.weights_bytes,
        "model_name": found.model,
    }
    if given["device"] == "cpu":
        return [Request(**base, **more)]
    return [Request(**base, **more, gpu=gpu) for gpu in _gpus(given)]


def _gpus(given: Mapping[str, Any]) -> list[gpus.Gpu]:
    text = given.get("gpu_memory")
    memory = _memory(text) if text else None
    names = given["products"] or (() if memory else candidates.USUAL_GPUS)
    try:
        return [gpus.find(name, memory) for name in names or ("",)]
    except PlanRefused as error:
        raise BadValueError(error.message, field="--gpu", fix=_options(error.fix)) from error


def _memory(text: str) -> int:
    try:
        return parse_bytes(text, "--gpu-memory")
    except LlamaError as error:
        raise BadValueError(error.message, field=error.field, fix=error.fix) from error


def _json(answer: Answer, device: str) -> dict[str, Any]:
    found = [candidates.to_json(each, device) for each in answer.candidates]
    chosen = candidates.to_json(answer.chosen, device) if answer.chosen else None
    value: dict[str, Any] = {"chosen": chosen, "candidates": found}
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


def _manifest(
    found: source.Source, chosen: candidates.Candidate, given: Mapping[str, Any]
) -> dict[str, Any]:
    spec: dict[str, Any] = {"model": found.model, "gpu": {"count": chosen.plan.gpus}}
    if chosen.plan.gpu_product:
        spec["gpu"]["product"] = chosen.plan.gpu_product
    if given["device"] != "cuda":
        spec["engine"] = {"device": given["device"]}
    for option, (part, field) in PINS.items():
        if given.get(option) is not None:
            spec.setdefault(part, {})[field] = given[option]
    if given["enforce_eager"]:
        spec.setdefault("engine", {})["enforceEager"] = True
    # What the planner chose is written out where it is less than the model has: a promise.
    if chosen.plan.max_model_len < found.shape.max_position:
        spec.setdefault("sizing", {})["maxModelLen"] = chosen.plan.max_model_len
    return {
        "apiVersion": DEPLOYMENTS.api_version,
        "kind": DEPLOYMENTS.kind,
        "metadata": {"name": naming.from_model(found.model)},
        "spec": spec,
    }


def _refuse(error: PlanRefused) -> None:
    field = SPEC_FIELDS.get(error.field, error.field)
    message = f"{field}: {error.message}" if field else error.message
    output.talk(f"{output.bad('Error:')} {sentence(message)}")
    if error.fix:
        output.talk(sentence(_options(error.fix)))


def _options(text: str) -> str:
    """The planner's words with its field names as the options that set them."""
    for field, option in SPEC_FIELDS.items():
        text = text.replace(field, option)
    return text

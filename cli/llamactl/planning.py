"""The steps of `plan`: read the model, ask the planner, show its answer."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

import click

from llama_operator.api.errors import LlamaError, PlanRefused
from llama_operator.planner.checkpoint import known_bytes
from llama_operator.planner.delivery import Delivery
from llamactl import asking, candidates, naming, output, source
from llamactl.asking import options
from llamactl.candidates import Answer, Candidate
from llamactl.command import WORDS
from llamactl.errors import BadValueError, CliError, sentence
from llamactl.resources import DEPLOYMENTS
from llamactl.settings import current

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


def run(model: str, given: Mapping[str, Any], fmt: str, explain: bool) -> bool:
    """Plan and show; False where nothing fits. Raises BadValueError for a bad argument."""
    found: source.Source | None = None
    try:
        found = source.find(model, given["revision"])
        answer = candidates.answer(asking.requests(found, given))
    except PlanRefused as error:
        answer = Answer(None, (), error)
    except CliError:
        raise
    except LlamaError as error:
        # Not a refusal but a value that cannot be, such as a vLLM version of letters.
        field = options(error.field)
        raise BadValueError(error.message, field=field, fix=options(error.fix)) from error
    if found and found.said:
        output.talk(found.said)
    _show(answer, found, given, fmt, explain)
    if answer.refused:
        _refuse(answer.refused)
    return answer.chosen is not None


def _show(
    answer: Answer, found: source.Source | None, given: Mapping[str, Any], fmt: str, explain: bool
) -> None:
    if found is None:
        if fmt == "json":
            output.document(_json(answer, None, ""), "json")
        return
    delivery = _delivery(found, given)
    if fmt == "json":
        output.document(_json(answer, delivery, found.commit), "json")
    elif fmt == "yaml" and answer.chosen:
        output.document(_manifest(found, answer.chosen, given), "yaml")
    elif fmt == "table":
        from llamactl.plan_view import text

        shown = text(answer, found, delivery, output.width(), explain)
        if shown:
            output.data(shown)
        if answer.chosen:
            output.talk("To serve it:")
            output.hint(f"{_as_yaml()} | {current().kubectl('apply', '-f', '-')}")


def _as_yaml() -> str:
    """The command that is running, with the manifest as its answer."""
    context = click.get_current_context()
    words = [word for word in context.meta[WORDS] if word != "--explain"]
    words = [word for word in words if word not in ("-o", "--output", "table")]
    return " ".join([current().prog, "plan", *map(shlex.quote, words), "-o", "yaml"])


def _delivery(found: source.Source, given: Mapping[str, Any]) -> Delivery:
    size = found.file_bytes or known_bytes(found.shape, found.weights_bytes)
    return Delivery(size, given["bandwidth"], given["read_speed"])


def _json(answer: Answer, delivery: Delivery | None, commit: str) -> dict[str, Any]:
    shown = [] if delivery is None else answer.candidates
    of = {id(each): candidates.to_json(each, delivery, commit) for each in shown if delivery}
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


def _manifest(found: source.Source, chosen: Candidate, given: Mapping[str, Any]) -> dict[str, Any]:
    spec: dict[str, Any] = {"model": found.model, "gpu": {"count": chosen.plan.gpus}}
    if chosen.plan.gpu_product:
        spec["gpu"]["product"] = chosen.plan.gpu_product
    if given["gpu_memory"]:
        spec["gpu"]["memory"] = given["gpu_memory"]
    if chosen.request.device != "cuda":
        spec["engine"] = {"device": chosen.request.device}
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


def _refuse(error: PlanRefused) -> None:
    field = options(error.field)
    message = f"{field}: {error.message}" if field else error.message
    output.talk(f"{output.bad('Error:')} {sentence(options(message))}")
    if error.fix:
        output.talk(sentence(options(error.fix)))

"""From a spec and the nodes to a plan or a refusal: pure, and in the words that llamactl uses."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from llama_operator.api.conditions import Condition, Status
from llama_operator.api.errors import LlamaError, PlanRefused
from llama_operator.api.quantity import MIB, parse_bytes
from llama_operator.api.v1alpha1 import LlamaDeploymentSpec
from llama_operator.api.wire import as_dict
from llama_operator.catalog.catalog import Catalog, Model, Shape
from llama_operator.catalog.reading import shape_from_status
from llama_operator.planner import gpus, versions
from llama_operator.planner.lora import Lora
from llama_operator.planner.plan import Gpu, Plan, Request, plan
from llama_operator.render.flags import NNODES_SINCE, version_tuple
from llama_operator.render.outward import mirrored

Object = dict[str, Any]

_PRODUCT = "nvidia.com/gpu.product"
_MEMORY = "nvidia.com/gpu.memory"
_COUNT = "nvidia.com/gpu.count"


@dataclass(frozen=True)
class Judgement:
    """The `Planned` condition and, when it is True, the plan."""

    condition: Condition
    plan: Plan | None = None
    # False when the spec itself is refused: then not even weights are fetched.
    wanted: bool = True


@dataclass(frozen=True)
class Running:
    """What runs already: nodes come and go, and none of them restarts a server."""

    # The GPU product of the last plan.
    product: str = ""
    served: bool = False
    # The spec is the one that the last plan was made for.
    unchanged: bool = False


@dataclass(frozen=True)
class Cards:
    """A kind of GPU in the cluster."""

    gpu: Gpu
    per_node: int
    # How many nodes have it; 0 where no label tells.
    nodes: int = 0


def judge(
    spec: LlamaDeploymentSpec,
    catalog: Catalog,
    nodes: Iterable[Object],
    weights: Object | None,
    running: Running = Running(),
) -> Judgement:
    """The plan for a spec, or the reason why there is none (yet)."""
    try:
        engine_image(spec)  # there is not one for every engine and device
        model = find_model(spec, catalog)
        known = known_shape(spec, model, weights)
        if known is None:
            return Judgement(_unknown("The model's config.json has not been read yet"))
        chosen = _plan(spec, known, list(nodes), running)
        _check_version(chosen, engine_version(spec))
    except PlanRefused as refused:
        status: Status = "Unknown" if refused.reason == "GPUUnknown" else "False"
        return Judgement(Condition("Planned", status, refused.reason, str(refused)), wanted=False)
    except LlamaError as error:
        return Judgement(
            Condition("Planned", "False", "InvalidParallelism", str(error)), wanted=False
        )
    return Judgement(Condition("Planned", "True", "Fits", chosen.reason), chosen)


def _check_version(chosen: Plan, version: str) -> None:
    if chosen.nodes > 1 and version_tuple(version) < NNODES_SINCE:
        since = ".".join(map(str, NNODES_SINCE))
        raise PlanRefused(
            "InvalidParallelism",
            f"the plan needs {chosen.nodes} nodes, and vLLM {version} spreads a server over nodes "
            "with Ray alone, which is not run here",
            field="spec.engine.version",
            fix=f"Use {since} or newer, or larger GPUs",
        )


def _unknown(message: str) -> Condition:
    return Condition("Planned", "Unknown", "WaitingForShape", message)


def find_model(spec: LlamaDeploymentSpec, catalog: Catalog) -> Model | None:
    """The catalogue's model; None for an org/repo that it does not know.

    Raises PlanRefused for a short name (with the id that it means), and for what cannot be served.
    """
    model = catalog.find(spec.model)
    if model is not None:
        if not model.servable:
            raise PlanRefused(
                "ModelNotServable", f"{model.id}: {model.refusal}", field="spec.model"
            )
        return model
    if "/" in spec.model:
        return None
    offered = catalog.nearest(spec.model)
    fix = (
        f"Did you mean {', '.join(offered[:3])}? `llamactl models` lists all"
        if offered
        else "See `llamactl models`"
    )
    raise PlanRefused(
        "UnknownModel",
        f"{spec.model!r} is neither a catalogue id nor org/repo",
        field="spec.model",
        fix=fix,
    )


def known_shape(
    spec: LlamaDeploymentSpec, model: Model | None, weights: Object | None
) -> tuple[Shape, int] | None:
    """Shape and bytes: the catalogue's, unless the source is another repository."""
    if model is not None and not _other_repo(spec, model, weights):
        return model.shape, model.weights_bytes
    status = (weights or {}).get("status", {})
    if not status.get("shape", {}).get("numLayers"):
        return None
    return shape_from_status(status["shape"]), int(status.get("bytes", 0))


def _other_repo(spec: LlamaDeploymentSpec, model: Model, weights: Object | None) -> bool:
    source = as_dict(spec.source)
    if spec.weights_ref is not None:
        source = (weights or {}).get("spec", {}).get("source") or {}
    if source.get("claim"):
        return True  # what lies there is known once it was looked at
    repo = (source.get("huggingFace") or {}).get("repo") or ""
    return bool(repo) and repo != model.hf_repo


def _plan(
    spec: LlamaDeploymentSpec, known: tuple[Shape, int], nodes: list[Object], running: Running
) -> Plan:
    if spec.engine.device == "cpu":
        return plan(request(spec, known, None))
    plans, refusals = [], []
    for offer in _offers(spec, nodes, running):
        try:
            plans.append(plan(request(spec, known, offer)))
        except PlanRefused as refused:
            refusals.append(refused)
    if not plans:
        raise refusals[0]
    return min(plans, key=lambda found: found.gpus)


def _offers(spec: LlamaDeploymentSpec, nodes: list[Object], running: Running) -> list[Cards]:
    named = bool(spec.gpu.product or spec.gpu.memory)
    found = cards(spec, nodes) if named or _labelled(spec, nodes) or not running.served else []
    kept = [offer for offer in found if offer.gpu.product == running.product]
    gone = running.served and running.product and not named and not kept
    if gone and (running.unchanged or not found):
        # The last such node has left, perhaps for an hour: the servers wait for it.
        return [_from_labels(running.product, [])]
    return kept or found or cards(spec, nodes)


def cards(spec: LlamaDeploymentSpec, nodes: list[Object]) -> list[Cards]:
    """The GPUs to plan for: as the spec says, else as the matching nodes' labels say.

    Raises PlanRefused (GPUUnknown) when neither tells.
    """
    memory = parse_bytes(spec.gpu.memory, "spec.gpu.memory") if spec.gpu.memory else None
    labelled = _labelled(spec, nodes)
    if spec.gpu.product or memory:
        return [_named(spec.gpu.product or "", memory, labelled)]
    if not labelled:
        raise _untold(spec.gpu.device_class_name or "")
    return [_from_labels(product, group) for product, group in sorted(labelled.items())]


def _untold(device_class: str) -> PlanRefused:
    said, fix = (
        "no node that matches spec.scheduling.nodeSelector tells its GPU by the label " + _PRODUCT,
        "Set it, or spec.gpu.memory, or install GPU feature discovery",
    )
    if device_class:
        said += f", and no ResourceSlice of a driver {device_class} tells a productName there"
        fix = "Set it, or spec.gpu.memory: which devices a class of another name has is not read"
    return PlanRefused("GPUUnknown", said, field="spec.gpu.product", fix=fix)


def _labelled(spec: LlamaDeploymentSpec, nodes: list[Object]) -> dict[str, list[Mapping[str, str]]]:
    found: dict[str, list[Mapping[str, str]]] = {}
    wanted = spec.scheduling.node_selector
    for node in nodes:
        node_labels = node["metadata"].get("labels", {})
        matches = all(node_labels.get(key) == value for key, value in wanted.items())
        if matches and _PRODUCT in node_labels:
            found.setdefault(node_labels[_PRODUCT], []).append(node_labels)
    return found


def _named(
    product: str, memory: int | None, labelled: Mapping[str, list[Mapping[str, str]]]
) -> Cards:
    if product in labelled and memory is None:
        return _from_labels(product, labelled[product])
    return Cards(gpus.find(product, memory), 8)


def _from_labels(product: str, group: list[Mapping[str, str]]) -> Cards:
    counts = [int(entry[_COUNT]) for entry in group if entry.get(_COUNT, "").isdigit()]
    return Cards(gpus.find(product, _label_memory(group)), max(counts, default=8), len(group))


def _label_memory(group: list[Mapping[str, str]]) -> int | None:
    # The device plugin's label is in MiB of the whole card, a little above what CUDA reports,
    # so the table's figure is kept where the product is in the table.
    values = Counter(entry[_MEMORY] for entry in group if entry.get(_MEMORY, "").isdigit())
    return int(values.most_common(1)[0][0]) * MIB if values else None


def request(spec: LlamaDeploymentSpec, known: tuple[Shape, int], offer: Cards | None) -> Request:
    """A spec's pins as a request to the planner; `offer` is None on cpus.

    Several nodes are planned without being asked for where one does not hold the model.
    """
    shape, size = known
    sizing = spec.sizing
    return Request(
        model_name=spec.model,
        shape=shape,
        weights_bytes=size,
        engine=spec.engine.type,
        device=spec.engine.device,
        gpu=offer.gpu if offer else None,
        gpus_per_node=offer.per_node if offer else 1,
        gpu_count=spec.gpu.count,
        tensor_parallel=sizing.tensor_parallel,
        pipeline_parallel=sizing.pipeline_parallel,
        nodes=sizing.nodes,
        # Nodes that are asked for may come yet.
        most_nodes=(offer.nodes if offer and not sizing.nodes else 0) or None,
        max_model_len=sizing.max_model_len,
        max_num_seqs=sizing.max_num_seqs,
        max_num_batched_tokens=sizing.max_num_batched_tokens,
        gpu_memory_utilization=sizing.gpu_memory_utilization,
        dtype=sizing.dtype,
        quantization=sizing.quantization,
        kv_cache_dtype=sizing.kv_cache_dtype,
        enforce_eager=spec.engine.enforce_eager,
        objective=sizing.objective,
        vllm_version=engine_version(spec),
        lora=lora(spec),
    )


def lora(spec: LlamaDeploymentSpec) -> Lora | None:
    """The room for adapters that a spec asks for."""
    wanted = spec.lora
    return Lora(wanted.max_adapters, wanted.max_rank) if wanted.enabled else None


def engine_version(spec: LlamaDeploymentSpec) -> str:
    """The version of the server that flags and figures are for."""
    tagged = versions.version_of_image(spec.engine.image or "")
    return spec.engine.version or tagged or _default_version(spec)


def _default_version(spec: LlamaDeploymentSpec) -> str:
    if spec.engine.type == "transformers":
        return versions.DEFAULT_TRANSFORMERS_VERSION
    return versions.default_version(spec.engine.device)


def engine_image(spec: LlamaDeploymentSpec, registry: str = "") -> str:
    """The image to run: the user's as named, or the default of the engine from the mirror.

    Raises PlanRefused where there is no default.
    """
    return spec.engine.image or mirrored(_default_image(spec), registry)


def _default_image(spec: LlamaDeploymentSpec) -> str:
    if spec.engine.type == "transformers":
        return versions.transformers_image(spec.engine.device)
    return versions.default_image(spec.engine.device)

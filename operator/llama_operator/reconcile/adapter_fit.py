"""Whether an adapter fits the model and the room that servers have for it.

A name proves nothing: adapters name their base by a path of whoever trained them as often as by a
repository. So the widths of what they change are held against those of the model; vLLM would load
some that do not fit and answer as if there were none.
"""

from __future__ import annotations

from llama_operator.api.v1alpha1 import AdapterSpec, LlamaDeploymentSpec
from llama_operator.catalog.catalog import Shape
from llama_operator.planner import lora
from llama_operator.render.inputs import Object


def problem(
    spec: LlamaDeploymentSpec, adapter: AdapterSpec, found: Object, shape: Shape | None
) -> str:
    """Why an adapter is refused: field, value, limit and what to do; "" where it is not."""
    field = f"spec.adapters[{adapter.name}]"
    if adapter.name == (spec.endpoint.served_model_name or spec.model):
        return f"{field}.name: it is the name of the served model itself; choose another"
    if not found:
        return ""
    rank, most = int(found.get("rank", 0)), spec.lora.max_rank
    if rank > most:
        return (
            f"{field}: its rank {rank} is above spec.lora.maxRank {most}; set that to {rank} "
            "(one restart), or use an adapter of a lower rank"
        )
    return _of_another(spec, field, found, shape) if shape else ""


def _of_another(spec: LlamaDeploymentSpec, field: str, found: Object, shape: Shape) -> str:
    base = found.get("base") or "another model"
    fix = f"it was made for {base}; use an adapter of {spec.model}"
    layers = int(found.get("layers", 0))
    if layers > shape.num_layers:
        return f"{field}: it reaches to layer {layers}, {spec.model} has {shape.num_layers}; {fix}"
    known = {each.name: (each.inputs, each.outputs) for each in lora.modules(shape)}
    known |= {"lm_head": (shape.hidden_size, shape.vocab_size)}
    for module in found.get("modules", ()):
        name = module["name"]
        if name not in known:
            served = ", ".join(known)
            return (
                f"{field}: it changes {name}, which vLLM does not load for this model; it loads "
                f"{served}; train it with those as target_modules"
            )
        has, wanted = (module.get("inputs"), module.get("outputs")), known[name]
        if has != wanted:
            return (
                f"{field}: {name} is {has[0]} to {has[1]} wide in it and {wanted[0]} to "
                f"{wanted[1]} in {spec.model}; {fix}"
            )
    return ""

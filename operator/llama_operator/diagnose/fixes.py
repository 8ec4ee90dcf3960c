"""Fixes: patches of the LlamaDeployment, with numbers where the log tells them.

A patch is what `kubectl patch --type=merge` takes. It is never more than the field that mends the
failure: what else is wrong shows at the next start.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from llama_operator.diagnose.facts import Facts
from llama_operator.diagnose.known import Fix, Patch

Groups = Mapping[str, str]
LEAST_SHARE = 0.1
# vLLM's own default, where the log does not tell what was set.
DEFAULT_SHARE = 0.92
SHARE_STEP = 0.05


def spec(**parts: Any) -> Patch:
    """{"spec": parts}."""
    return {"spec": parts}


def setting(part: str, **fields: Any) -> Fix:
    """A patch that is the same whatever the log says: setting("sizing", dtype="float16")."""
    return lambda _, __: spec(**{part: fields})


def variable(name: str, value: str) -> Fix:
    """A variable of the engine."""
    return setting("engine", env=[{"name": name, "value": value}])


def context(groups: Groups, _: Facts) -> Patch:
    """spec.sizing.maxModelLen as the group `limit` says."""
    limit = int(groups["limit"])
    return spec(sizing={"maxModelLen": limit}) if limit > 0 else {}


def fewer_sequences(groups: Groups, facts: Facts) -> Patch:
    """Half of spec.sizing.maxNumSeqs, by the group `seqs` or the log."""
    told = groups.get("seqs") or facts.max_num_seqs
    return spec(sizing={"maxNumSeqs": int(told) // 2}) if told and int(told) > 1 else {}


def share_that_is_free(groups: Groups, _: Facts) -> Patch:
    """spec.sizing.gpuMemoryUtilization by what is `free` of the `total`, rounded down."""
    share = math.floor(float(groups["free"]) / float(groups["total"]) * 100) / 100
    return spec(sizing={"gpuMemoryUtilization": share}) if share >= LEAST_SHARE else {}


def room_on_the_card(groups: Groups, facts: Facts) -> Patch:
    """Twice the GPUs where the weights alone did not fit, else a smaller share for vLLM."""
    if not facts.loaded:
        return more_gpus(groups, facts)
    share = round((facts.gpu_memory_utilization or DEFAULT_SHARE) - SHARE_STEP, 2)
    return spec(sizing={"gpuMemoryUtilization": share}) if share >= LEAST_SHARE else {}


def more_gpus(_: Groups, facts: Facts) -> Patch:
    """Twice the GPUs of one replica."""
    if facts.tensor_parallel is None or facts.cpu:
        return {}
    return spec(gpu={"count": 2 * facts.tensor_parallel * (facts.pipeline_parallel or 1)})


def layout(tensor_parallel: int, facts: Facts) -> Patch:
    """A tensor parallel size, with the number of GPUs that belongs to it."""
    count = tensor_parallel * (facts.pipeline_parallel or 1)
    return spec(gpu={"count": count}, sizing={"tensorParallel": tensor_parallel})


def dividing_heads(groups: Groups, facts: Facts) -> Patch:
    """The largest tensor parallel size below `size` that divides `heads`."""
    heads, size = int(groups["heads"]), int(groups["size"])
    return layout(max(n for n in range(1, max(2, size)) if heads % n == 0), facts)


def halved_tensor_parallel(_: Groups, facts: Facts) -> Patch:
    """Half the tensor parallel size, where the line has no numbers but the log has the size."""
    size = facts.tensor_parallel or 0
    return layout(size // 2, facts) if size > 1 else {}


def one_stage(_: Groups, facts: Facts) -> Patch:
    """No pipeline: all GPUs share each layer."""
    size = facts.tensor_parallel or 1
    return spec(gpu={"count": size}, sizing={"pipelineParallel": 1})


def gpus_there(groups: Groups, _: Facts) -> Patch:
    """As many GPUs as `gpus` says there are."""
    return spec(gpu={"count": int(groups["gpus"])}) if int(groups["gpus"]) else {}


def batched_tokens(groups: Groups, _: Facts) -> Patch:
    """spec.sizing.maxNumBatchedTokens as the group `least` says."""
    return spec(sizing={"maxNumBatchedTokens": int(groups["least"])})

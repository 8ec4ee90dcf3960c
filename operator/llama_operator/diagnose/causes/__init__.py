"""Every cause that is known, by theme; the names are reasons of `Degraded`.

Where a comment says "recorded", real vLLM wrote that line on a CPU, here or for the project's
facts; "source" are texts of the source of vLLM, torch, NCCL, CUDA or the hub's library, with
whose formats they were written.
"""

from __future__ import annotations

from typing import Final

from llama_operator.diagnose.causes import (
    engine,
    flags,
    gpu,
    guarding,
    host,
    hub,
    image,
    memory,
    model,
    network,
    parallelism,
    quantization,
    weights,
)
from llama_operator.diagnose.known import KnownCause

CAUSES: Final[tuple[KnownCause, ...]] = (
    *memory.CAUSES,
    *parallelism.CAUSES,
    *model.CAUSES,
    *weights.CAUSES,
    *hub.CAUSES,
    *quantization.CAUSES,
    *gpu.CAUSES,
    *guarding.CAUSES,
    *network.CAUSES,
    *image.CAUSES,
    *host.CAUSES,
    *flags.CAUSES,
    *engine.CAUSES,
)

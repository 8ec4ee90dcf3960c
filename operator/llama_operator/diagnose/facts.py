"""What a log tells of the settings of the server that wrote it, for the numbers of a fix.

vLLM prints its configuration at the start, as `name=value` and as a dictionary of arguments. A
log that was cut off before has less to tell, and the fix then has no number.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

_CPU = re.compile(r"device_config=(?:device\()?'?cpu|CPU attention|cpu_model_runner")
_LOADED = re.compile(r"Model loading took|Loading weights took")


@dataclass(frozen=True)
class Facts:
    """Settings of vLLM; None where the log does not tell."""

    tensor_parallel: int | None = None
    pipeline_parallel: int | None = None
    max_model_len: int | None = None
    max_num_seqs: int | None = None
    gpu_memory_utilization: float | None = None
    # Whether it is a server without GPUs.
    cpu: bool = False
    # Whether the weights had been loaded.
    loaded: bool = False


_FIELDS = {
    "tensor_parallel": "tensor_parallel_size",
    "pipeline_parallel": "pipeline_parallel_size",
    "max_model_len": "max_model_len|max_seq_len",
    "max_num_seqs": "max_num_seqs",
    "gpu_memory_utilization": "gpu_memory_utilization",
}
_PATTERNS = {
    field: re.compile(rf"\b(?:{names})'?\s?[=:]\s?(\d+(?:\.\d+)?)(?![\d.]*[eE\w])")
    for field, names in _FIELDS.items()
}


def read(texts: Iterable[str]) -> Facts:
    """The facts of a log's lines; what is said last counts."""
    found: dict[str, str] = {}
    loaded = cpu = False
    for text in texts:
        loaded = loaded or _LOADED.search(text) is not None
        cpu = cpu or _CPU.search(text) is not None
        for field, pattern in _PATTERNS.items():
            if match := pattern.search(text):
                found[field] = match[1]
    share = found.pop("gpu_memory_utilization", "")
    counts = {field: int(float(value)) for field, value in found.items()}
    told = float(share) if share else None
    return Facts(**counts, gpu_memory_utilization=told, cpu=cpu, loaded=loaded)

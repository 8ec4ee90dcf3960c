"""What the pod needs beside GPUs: cpu, memory, /dev/shm and scratch space.

Measured with vLLM 0.24 on two H100s: API server 1,244 MiB, engine core 1,068 MiB, 2,963 MiB for
each rank. From 0.24 every rank also pins max_num_seqs x max_model_len x 4 bytes of host memory:
4 GiB a rank at a million tokens, which kills a pod that was sized by its processes alone.
"""

from __future__ import annotations

from typing import NamedTuple

GIB = 1 << 30
MIB = 1 << 20
_API_SERVER = 1280 * MIB
_ENGINE_CORE = 1088 * MIB
_GPU_RANK = 3072 * MIB
_CPU_API_SERVER = GIB
_CPU_ENGINE_CORE = GIB
_CPU_RANK = 1229 * MIB
# Reading a shard of safetensors goes through buffers; the page cache itself can be reclaimed.
_LOADING = 2 * GIB
# Kubernetes' default of 64 MiB fails; newer versions ask for 160 and 240 MiB free.
_SHM = GIB


class Host(NamedTuple):
    """Requests of one pod: thousandths of a cpu, and bytes."""

    cpu_millis: int
    memory_bytes: int
    shm_bytes: int
    ephemeral_bytes: int


def gpu_host(
    ranks: int, max_num_seqs: int, max_model_len: int, pins: bool, adapters_bytes: int = 0
) -> Host:
    """The requests of a pod with `ranks` GPUs. `pins`: whether the engine pins token ids.

    `adapters_bytes` are those of the LoRA adapters that each rank keeps in memory.
    """
    pinned = ranks * max_num_seqs * max_model_len * 4 if pins else 0
    processes = _API_SERVER + _ENGINE_CORE + ranks * (_GPU_RANK + adapters_bytes)
    memory = processes + pinned + _LOADING + _SHM
    return Host(
        cpu_millis=2000 + 1000 * ranks,
        memory_bytes=_up(memory, GIB),
        shm_bytes=_SHM,
        # Compiled kernels, logs and temporary files; weights lie on their own volume.
        ephemeral_bytes=(8 + ranks) * GIB,
    )


def cpu_host(ranks: int, weights_bytes: int, kv_bytes: int) -> Host:
    """The requests of a pod that computes on its cpus; bytes are those of all ranks."""
    processes = _CPU_API_SERVER + _CPU_ENGINE_CORE + ranks * _CPU_RANK
    return Host(
        cpu_millis=500 + 500 * ranks,
        memory_bytes=_up(processes + weights_bytes + kv_bytes, 64 * MIB),
        shm_bytes=_SHM,
        ephemeral_bytes=2 * GIB,
    )


def _up(value: int, step: int) -> int:
    return -(-value // step) * step

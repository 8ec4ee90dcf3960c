"""Memory: of the GPU, of the host, of /dev/shm."""

from __future__ import annotations

from llama_operator.diagnose import fixes
from llama_operator.diagnose.known import KnownCause, Rank, Signature

CONTEXT = KnownCause(
    "InsufficientMemoryForContext",
    "The KV cache that is left does not hold one request of the full context.",
    "Lower spec.sizing.maxModelLen, or give the replica more or larger GPUs.",
    (
        # recorded: kv-cache-too-small
        Signature(
            r"model's max seq len \((?P<asked>\d+)\).*estimated maximum model length is (?P<limit>\d+)",
            "One request of {asked} tokens does not fit into the KV cache that is left; {limit} would.",
            fixes.context,
        ),
        # source: vLLM up to 0.10
        Signature(
            r"model's max seq len \((?P<asked>\d+)\) is larger than the maximum number of tokens"
            r" that can be stored in KV cache \((?P<limit>\d+)\)",
            "One request of {asked} tokens does not fit into the KV cache, which holds {limit}.",
            fixes.context,
        ),
        # source: without an estimate, where not even one token fits
        Signature(
            r"model's max seq len \((?P<asked>\d+)\), \((?P<need>[\d.]+) GiB KV cache is needed",
            "One request of {asked} tokens needs {need} GiB of KV cache, more than is left.",
        ),
    ),
)
FREE = KnownCause(
    "InsufficientMemory",
    "Less memory is free than vLLM is to take.",
    "See what else uses the card, or lower spec.sizing.gpuMemoryUtilization, spec.sizing.maxModelLen "
    "or spec.sizing.maxNumSeqs, or give the replica more or larger GPUs.",
    (
        # source: v1/worker/utils.py
        Signature(
            r"Free memory on device \S+ \((?P<free>[\d.]+)/(?P<total>[\d.]+) GiB\) on startup is less"
            r" than (?:desired GPU memory utilization|the engine's budget)",
            "Only {free} of the card's {total} GiB are free, less than vLLM is to take.",
            fixes.share_that_is_free,
        ),
        Signature(
            r"Externally held weights on device .* exceed the desired GPU memory utilization"
        ),
        # recorded: gpu-mem-util-0.99, kv-space-too-big, gpu-mem-util-tiny
        Signature(
            r"Available memory on node \d+ \((?P<free>[\d.]+)/(?P<total>[\d.]+) GiB\) on startup is less",
            "Only {free} of {total} GiB of the machine's memory are free, less than vLLM is to take.",
        ),
        Signature(
            r"Available memory on node \d+ \((?P<free>[\d.]+)/[\d.]+ GiB\) on kv cache allocation is"
            r" less than requested memory for kv \((?P<need>[\d.]+) GiB\)",
            "The KV cache is to take {need} GiB of the machine's memory, and {free} GiB are free.",
        ),
        Signature(r"Available memory on node \d+ .* on kv cache allocation is less than"),
        # source: v1/core/kv_cache_utils.py
        Signature(
            r"No available memory for the cache blocks|Cannot auto-fit max_model_len: not enough",
            "Weights and work space take all the memory that vLLM may use; no KV cache is left.",
            fixes.more_gpus,
        ),
    ),
)
CARD = KnownCause(
    "GPUOutOfMemory",
    "The card's memory ran out.",
    "Give the replica more or larger GPUs or a quantised checkpoint, or lower "
    "spec.sizing.gpuMemoryUtilization, spec.sizing.maxNumSeqs or spec.sizing.maxNumBatchedTokens.",
    (
        # source: v1/worker/gpu_model_runner.py
        Signature(
            r"CUDA out of memory occurred when warming up \w+.* with (?P<seqs>\d+) dummy requests",
            "The card's memory ran out in the warm-up with {seqs} sequences at once.",
            fixes.fewer_sequences,
        ),
        # source: torch's allocator, CUDA's and HIP's runtime, cuBLAS
        Signature(
            r"OutOfMemoryError: (?:CUDA|HIP|XPU) out of memory"
            r"|(?:CUDA|HIP) error: out of memory|(?:cuda|hip)Error(?:MemoryAllocation|OutOfMemory)"
            r"|CUDA_ERROR_OUT_OF_MEMORY|CUDART error: out of memory|C(?:UBLAS|UDNN)_STATUS_ALLOC_FAILED",
            fix=fixes.room_on_the_card,
        ),
        # source: NCCL, whose buffers lie outside vLLM's share
        Signature(
            r"Cuda failure (?:2 )?'out of memory'",
            "The card's memory ran out for NCCL's buffers, which lie outside vLLM's share of it.",
            fixes.room_on_the_card,
            warnings_too=True,
        ),
        # source: Triton's and FlashInfer's kernels
        Signature(
            r"OutOfResources: out of resource: shared memory",
            "A kernel needs more shared memory than this GPU has.",
        ),
    ),
)
HOST = KnownCause(
    "OutOfMemory",
    "The container ran out of host memory, or was killed for it.",
    "Raise spec.engine.resources.limits.memory or remove the limit.",
    (
        # source: torch, Python, C++, CUDA's pinned memory
        Signature(
            r"DefaultCPUAllocator: (?:can't allocate memory|not enough memory)"
            r"|^(?:numpy\.\S*)?_?(?:Array)?MemoryError\b|std::bad_alloc"
            r"|\[Errno 12\] Cannot allocate memory|mmap failed: Cannot allocate memory"
            r"|memory allocation of \d+ bytes failed",
            "The container ran out of host memory.",
        ),
        Signature(
            r"Out of memory: Killed process|oom-kill:|^Killed$",
            "A process of the server was killed, as the kernel does when host memory runs out.",
        ),
    ),
    reasons=("OOMKilled",),
    permanent=False,
)
SHM = KnownCause(
    "SharedMemoryTooSmall",
    "/dev/shm is too small or not writable; the processes of a server exchange data there.",  # noqa: S108
    "Mount an emptyDir of medium Memory on /dev/shm, of 1 GiB or more, as the operator's own pods "
    "have it; it counts as the container's memory, so raise spec.engine.resources.limits.memory too.",
    (
        # recorded: dev-shm-64Mi, dev-shm-readonly
        Signature(
            r"Insufficient space in /dev/shm .*?: (?P<need>\d+) MiB required, (?P<free>\d+) MiB free",
            "/dev/shm has {free} MiB free and vLLM needs {need} MiB.",  # noqa: S108
        ),
        Signature(
            r"Read-only file system: '/(?:psm|mp|sem)[-_.\w]*'",
            "/dev/shm cannot be written.",  # noqa: S108
        ),
        # source: Python, torch, NCCL
        Signature(
            r"No space left on device: '/(?:psm|mp|sem)[-_.\w]*'"
            r"|unable to (?:allocate|mmap|resize) shared memory|insufficient shared memory \(shm\)"
            r"|unable to (?:open|write to|allocate) .{0,20}/(?:dev/shm|torch_)"
            r"|DataLoader worker .* killed by signal: Bus error",
        ),
        Signature(
            r"(?:Error while creating shared memory segment|[Ff]ailed to (?:extend|allocate|create).*)"
            r" ?/dev/shm/nccl",
            "NCCL finds no room in /dev/shm.",
            warnings_too=True,
        ),
        Signature(r"^Bus error|Fatal Python error: Bus error"),
    ),
    exit_codes=(135,),
)
# Asked for more than is there: the same text from many calls, so any other cause comes first.
PINNED = KnownCause(
    "PinnedMemoryUnavailable",
    "Page-locked host memory could not be had.",
    "Lower spec.sizing.maxNumSeqs or spec.sizing.maxModelLen, whose product it grows with; raise "
    "spec.engine.resources.limits.memory and the locked-memory limit of the container runtime.",
    (
        # source: torch's host allocator, V2 model runner
        Signature(
            r"cudaHostAlloc|UVA is not available",
            fix=fixes.fewer_sequences,
        ),
    ),
    rank=Rank.GENERAL,
)
CAUSES = (CONTEXT, FREE, CARD, HOST, SHM, PINNED)

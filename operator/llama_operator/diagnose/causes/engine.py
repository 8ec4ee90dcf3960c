"""The engine itself: it died, hung or was killed. Mostly consequences; better causes come first."""

from __future__ import annotations

from llama_operator.diagnose.known import KnownCause, Rank, Signature

KILLED = KnownCause(
    "EngineKilled",
    "A process of the server was killed from outside, most often for the container's memory: the "
    "kernel kills the largest process, and the container itself goes on to its end.",
    "Raise spec.engine.resources.limits.memory or remove the limit; look at the node's kernel log "
    "for another reason.",
    (
        # recorded: worker-killed, engine-killed
        Signature(r"(?:Worker|Engine core) proc \S+ died unexpectedly \(exit code: (?:-9|None)\)"),
        Signature(r"(?:Worker|Engine core) proc \S+ died unexpectedly(?! \(exit code)"),
        Signature(r"engine core exited unexpectedly", warnings_too=True),
        Signature(r"Failed core proc\(s\): \{[^}]*: -9\b"),
        # source: other versions
        Signature(
            r"WorkerProc .* (?:exited|terminated) with (?:exit )?code -9|was killed by signal: Killed"
        ),
    ),
    permanent=False,
    rank=Rank.CONSEQUENCE,
)
HUNG = KnownCause(
    "EngineHung",
    "A step of the engine did not end in time.",
    "Look for a GPU or a network that hangs; a slow device needs a larger "
    "VLLM_EXECUTE_MODEL_TIMEOUT_SECONDS in spec.engine.env.",
    (
        # source: v1/executor/multiproc_executor.py
        Signature(r"RPC call to \w+ timed out"),
    ),
    permanent=False,
    rank=Rank.GENERAL,
)
SLOW = KnownCause(
    "EngineStartTooSlow",
    "The engine was not ready within vLLM's own limit, most often for a slow volume.",
    "Set VLLM_ENGINE_READY_TIMEOUT_S in spec.engine.env and spec.startup.budget to what the load takes.",
    (
        # source: v1/engine/core_client.py
        Signature(r"Timed out waiting for (?:new )?engine core processes to start"),
    ),
    rank=Rank.GENERAL,
)
CRASHED = KnownCause(
    "NativeCrash",
    "Native code crashed.",
    "Try another vLLM with spec.engine.image, or spec.engine.enforceEager; look for hardware errors "
    "if it comes on one node only.",
    (
        # source: Python, libc, C++
        Signature(
            r"Segmentation fault|Fatal Python error: |terminate called after throwing"
            r"|\*\*\* SIG\w+ received|free\(\): invalid pointer|double free or corruption|corrupted size"
        ),
    ),
    exit_codes=(134, 139),
    permanent=False,
    rank=Rank.GENERAL,
)
OUTSIDE = KnownCause(
    "KilledFromOutside",
    "The container was killed: a probe failed for too long, or it took too long to end.",
    "Raise spec.startup.budget for a slow start; look at the events of the pod.",
    exit_codes=(137, 143),
    permanent=False,
    rank=Rank.CONSEQUENCE,
)
CAUSES = (KILLED, HUNG, SLOW, CRASHED, OUTSIDE)

"""A plan as flags of `vllm serve`.

vLLM renames and adds flags from version to version; a flag that a version does not know ends
its start with exit code 2. Each flag that is not as old as the oldest supported version names
the version it came with.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from llama_operator import warmup
from llama_operator.api.quantity import parse_duration
from llama_operator.guard import CANARY_MIDDLEWARE, MIDDLEWARE
from llama_operator.render import adapting
from llama_operator.render.tracing import tracing_args

if TYPE_CHECKING:  # llamactl renders the flags of a plan without the typed models
    from llama_operator.planner.plan import Plan
    from llama_operator.render.inputs import Serving

SHUTDOWN_TIMEOUT_SINCE = (0, 18)
DISABLE_DOCS_SINCE = (0, 8)
# Before, several nodes were joined by Ray alone.
NNODES_SINCE = (0, 12)
MASTER_PORT = 29501
LOWEST_PORT = 1024
DEFAULT_PORT = 8000


def version_tuple(version: str) -> tuple[int, ...]:
    """("0.24.0") -> (0, 24, 0); what is not a number ends the tuple."""
    parts: list[int] = []
    for piece in version.removeprefix("v").split("."):
        if not piece.isdigit():
            break
        parts.append(int(piece))
    return tuple(parts)


def plan_args(plan: Plan, device: str = "cuda") -> list[str]:
    """The flags that carry a plan's numbers; the same whoever starts vLLM."""
    args = [
        f"--tensor-parallel-size={plan.tensor_parallel}",
        f"--pipeline-parallel-size={plan.pipeline_parallel}",
        f"--dtype={plan.dtype}",
        f"--max-model-len={plan.max_model_len}",
        f"--max-num-seqs={plan.max_num_seqs}",
        f"--max-num-batched-tokens={plan.max_num_batched_tokens}",
    ]
    return args + _memory_args(plan, device) + _quantization_args(plan)


def _memory_args(plan: Plan, device: str) -> list[str]:
    # On a CPU vLLM would otherwise take a share of the whole machine's memory.
    if device == "cpu":
        return [f"--kv-cache-memory-bytes={plan.kv_cache_bytes}"]
    return [f"--gpu-memory-utilization={plan.gpu_memory_utilization:g}"]


def _quantization_args(plan: Plan) -> list[str]:
    args = []
    if plan.online_quantization:
        args.append(f"--quantization={plan.online_quantization}")
    if plan.kv_cache_dtype == "fp8":
        args.append("--kv-cache-dtype=fp8")
    return args


def container_port(serving: Serving) -> int:
    """The port vLLM listens on: that of the endpoint, unless vLLM would refuse it (below 1024)."""
    return listening_port(serving.spec.endpoint.port)


def listening_port(port: int) -> int:
    """Where vLLM listens for an endpoint's port."""
    return port if port >= LOWEST_PORT else DEFAULT_PORT


def served_name(serving: Serving) -> str:
    """The name that clients put in `model`."""
    return serving.spec.endpoint.served_model_name or serving.spec.model


def server_args(serving: Serving, model_dir: str) -> list[str]:
    """All arguments after `vllm serve`: ours first, the user's last."""
    spec = serving.spec
    args = [
        model_dir,
        f"--served-model-name={served_name(serving)}",
        "--host=0.0.0.0",
        f"--port={container_port(serving)}",
        *plan_args(serving.plan, spec.engine.device),
    ]
    if spec.engine.enforce_eager:
        args.append("--enforce-eager")
    loading = adapting.args(serving)
    # The guard stands before all routes; a `--middleware` of the user's, which is refused, would
    # stand before the guard.
    guards = [f"--middleware={each}" for each in _middlewares(serving)]
    joined = [*tracing_args(serving), *loading, *_leader_args(serving), *guards]
    return [*args, *_version_args(serving), *joined, *spec.engine.args]


def _middlewares(serving: Serving) -> list[str]:
    # The last one stands first.
    inner = [warmup.MIDDLEWARE] if serving.spec.startup.warm_up else []
    inner += [CANARY_MIDDLEWARE] if serving.plan.nodes > 1 else []
    return [*inner, MIDDLEWARE]


def _leader_args(serving: Serving) -> list[str]:
    return group_args(serving.plan) if serving.plan.nodes > 1 else []


def group_args(plan: Plan) -> list[str]:
    """What joins the ranks of several nodes; LeaderWorkerSet sets the variables in each pod."""
    return [
        f"--nnodes={plan.nodes}",
        "--node-rank=$(LWS_WORKER_INDEX)",
        "--master-addr=$(LWS_LEADER_ADDRESS)",
        f"--master-port={MASTER_PORT}",
    ]


def worker_args(serving: Serving, model_dir: str) -> list[str]:
    """The arguments of a rank that takes no requests: it has no port, so nothing guards one."""
    first = [each for each in server_args(serving, model_dir) if not _of_the_endpoint(each)]
    return [first[0], "--headless", *first[1:]]


def _of_the_endpoint(arg: str) -> bool:
    return arg.startswith(("--host=", "--port=", "--middleware=", "--shutdown-timeout="))


def _version_args(serving: Serving) -> list[str]:
    version = version_tuple(serving.vllm_version)
    args = []
    if version >= DISABLE_DOCS_SINCE:
        args.append("--disable-fastapi-docs")
    if version >= SHUTDOWN_TIMEOUT_SINCE:
        args.append(f"--shutdown-timeout={drain_seconds(serving)}")
    return args


def drain_seconds(serving: Serving) -> int:
    """Whole seconds that requests in flight get after SIGTERM; at least 1.

    With 0 vLLM hangs on a request in flight until it is killed.
    """
    return max(1, round(parse_duration(serving.spec.drain.timeout, "spec.drain.timeout")))

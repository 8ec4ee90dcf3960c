"""Which layouts come into question: tensor parallel in a node first, pipeline stages after.

Pipeline stages are only added once tensor parallel is used up: a stage adds latency and needs
more requests in flight to pay. They never rescue a count that the heads do not divide into.
"""

from __future__ import annotations

from collections.abc import Iterator

from llama_operator.planner.layout import Layout, tensor_parallel_problem, valid_tensor_parallel
from llama_operator.planner.request import Request, refuse_parallel

MOST_NODES = 16
_MOST_RANKS_OF_A_CPU = 64


def layouts(request: Request, method: str) -> list[Layout]:
    """Every layout that the pins and the model's sizes allow, fewest GPUs first.

    `method` is the quantisation that the engine runs. Empty where `gpu_count` fits none; raises
    PlanRefused (InvalidParallelism) for pins that no layout can have.
    """
    _check_tensor_pin(request, method)
    _check_nodes(request)
    found = set(_all(request, method))
    count = request.gpu_count
    wanted = [each for each in found if count is None or each.gpus == count]
    return sorted(wanted, key=lambda each: (each.gpus, each.nodes, each.pipeline_parallel))


def tensor_sizes(request: Request, method: str) -> list[int]:
    """Tensor parallel sizes of one node."""
    if request.tensor_parallel:
        return [request.tensor_parallel]
    limit = _MOST_RANKS_OF_A_CPU if request.device == "cpu" else request.gpus_per_node
    return valid_tensor_parallel(request.shape, method, limit)


def _all(request: Request, method: str) -> Iterator[Layout]:
    sizes = tensor_sizes(request, method)
    for size in sizes:
        for stages in _stages(request, size, sizes[-1]):
            nodes = _nodes(request, size, stages)
            if nodes:
                yield Layout(size, stages, nodes)


def _stages(request: Request, size: int, largest: int) -> Iterator[int]:
    if request.pipeline_parallel:
        yield request.pipeline_parallel
        return
    yield 1
    if size != largest or request.device == "cpu":
        return
    if request.gpu_count:
        most = request.gpu_count // size
    else:
        nodes = request.nodes or request.most_nodes or MOST_NODES
        most = request.gpus_per_node * nodes // size
    yield from range(2, min(most, request.shape.num_layers) + 1)


def _nodes(request: Request, size: int, stages: int) -> int:
    """Nodes that this cut is spread over; 0 where it cannot be."""
    if request.device == "cpu":
        nodes = request.nodes or 1
        return 0 if size * stages % nodes else nodes
    if request.nodes:
        return request.nodes if _spreads(request, size, stages, request.nodes) else 0
    least = -(-size * stages // request.gpus_per_node)
    most = min(stages, request.most_nodes or stages)
    return next((n for n in range(least, most + 1) if _spreads(request, size, stages, n)), 0)


def _spreads(request: Request, size: int, stages: int, nodes: int) -> bool:
    each, rest = divmod(size * stages, nodes)
    if rest or each > request.gpus_per_node:
        return False
    # A pinned tensor parallel size may be wider than a node; it is slow, but vLLM does it.
    return each % size == 0 or bool(request.tensor_parallel and request.nodes)


def _check_tensor_pin(request: Request, method: str) -> None:
    size = request.tensor_parallel
    if not size:
        return
    problem = tensor_parallel_problem(request.shape, size, method)
    valid = valid_tensor_parallel(request.shape, method, max(size, request.gpus_per_node))
    fix = f"Valid: {', '.join(map(str, valid))}"
    if problem:
        raise refuse_parallel("spec.sizing.tensorParallel", problem, fix)
    if request.device != "cpu" and size > request.gpus_per_node * (request.nodes or 1):
        inside = [each for each in valid if each <= request.gpus_per_node]
        raise refuse_parallel(
            "spec.sizing.tensorParallel",
            f"{size} is more than the {request.gpus_per_node} GPUs of a node",
            f"Use {inside[-1]} and pipelineParallel, or set spec.sizing.nodes",
        )


def _check_nodes(request: Request) -> None:
    nodes, count = request.nodes, request.pinned_gpus
    if nodes and nodes > 1 and count and count % nodes:
        raise refuse_parallel(
            "spec.sizing.nodes",
            f"{count} GPUs cannot be spread evenly over {nodes} nodes",
            "It must divide tensorParallel x pipelineParallel",
        )

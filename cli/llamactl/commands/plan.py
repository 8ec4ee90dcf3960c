"""`llamactl plan`: what a model needs, by default without a cluster."""

from __future__ import annotations

from typing import Any

import click

from llamactl import options
from llamactl.command import Command

METHODS = ["none", "fp8", "awq", "gptq", "compressed-tensors"]


@click.command(
    cls=Command,
    examples=[
        "llamactl plan 70b",
        "llamactl plan 70b --gpu H100 --gpus 8",
        "llamactl plan 8b --gpu L4 --max-model-len 16384 --concurrency 8 --explain",
        "llamactl plan 405b --gpu H100 --nodes 2 -o json | jq .chosen.vllmArgs",
        "llamactl plan my-org/my-llama --revision v2 --gpu L40S --bandwidth 10Gbit",
        "llamactl plan 70b --from-cluster -o yaml | kubectl apply -f -",
    ],
)
@click.argument("model")
@click.option("--gpu", "products", multiple=True, metavar="PRODUCT", help="GPU; can be repeated.")
@click.option("--gpu-memory", metavar="SIZE", help="Memory of one GPU, where no table knows it.")
@click.option("--gpus", "gpu_count", type=click.IntRange(1, 4096), help="GPUs, exactly.")
@click.option("--nodes", type=click.IntRange(1, 1024), help="Nodes of one replica.")
@click.option("--gpus-per-node", type=click.IntRange(1, 1024), help="Default: 8.")
@click.option("--from-cluster", is_flag=True, help="Plan for the GPUs that the nodes have.")
@click.option("--device", type=click.Choice(["cuda", "rocm", "cpu"]), help="Default: the GPU's.")
@click.option(
    "--engine",
    type=click.Choice(["vllm", "transformers"]),
    help="Server to plan for. Default vllm.",
)
@click.option("--revision", help="Branch, tag or commit of a repository.")
@click.option("--max-model-len", type=click.IntRange(1), help="Context in tokens.")
@click.option("--concurrency", type=click.IntRange(1), help="Full contexts held at once.")
@click.option(
    "--objective",
    type=click.Choice(["fit", "throughput", "latency"]),
    default="fit",
    show_default=True,
    help="fit: fewest GPUs, then least memory; else the best estimate per GPU or per request.",
)
@click.option("--quantization", type=click.Choice(METHODS), help="Default: as the checkpoint.")
@click.option(
    "--dtype",
    type=click.Choice(["auto", "bfloat16", "float16", "float32"]),
    help="Pin the type of activations.",
)
@click.option(
    "--kv-cache-dtype", type=click.Choice(["auto", "fp8"]), help="Pin the type of the cache."
)
@click.option("--tensor-parallel", type=click.IntRange(1), help="Pin it.")
@click.option("--pipeline-parallel", type=click.IntRange(1), help="Pin it.")
@click.option("--max-num-seqs", type=click.IntRange(1), help="Pin it.")
@click.option("--max-num-batched-tokens", type=click.IntRange(1), help="Pin it.")
@click.option("--gpu-memory-utilization", type=click.FloatRange(0.1, 0.99), help="Pin it.")
@click.option("--enforce-eager", is_flag=True, help="Without CUDA graphs.")
@click.option("--vllm-version", help="vLLM version to plan for.")
@click.option(
    "--bandwidth",
    type=options.Rate(),
    default="1Gbit",
    show_default=True,
    help="Of the download, per second.",
)
@click.option(
    "--read-speed",
    type=options.Rate(),
    default="1GB/s",
    show_default=True,
    help="Of the volume, for the load.",
)
@click.option("--explain", is_flag=True, help="Show the arithmetic, and why others do not fit.")
@options.cluster
@click.option(
    "-o",
    "--output",
    "fmt",
    type=click.Choice(["table", "json", "yaml"]),
    default="table",
    show_default=True,
    help="yaml is a LlamaDeployment to apply.",
)
def command(model: str, explain: bool, fmt: str, **given: Any) -> None:
    """Work out GPUs, parallelism, context and memory of MODEL.

    MODEL is a catalogue name, ORG/REPO, a directory with a config.json, or a config.json. A
    repository outside the catalogue is read from HF_ENDPOINT (with HF_TOKEN): config.json and the
    headers of its files, not the weights. Without --gpu the usual data-centre GPUs are compared.
    What is pinned is never changed, only judged. The exit code is 1 where nothing fits; the JSON
    is printed all the same.
    """
    from llamactl.planning import run

    if run(model, given, fmt, explain):
        return
    click.get_current_context().exit(1)

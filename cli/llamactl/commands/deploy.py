"""`llamactl deploy`: from a model's name to an endpoint that answers."""

from __future__ import annotations

from typing import Any

import click

from llamactl import options, output
from llamactl.command import Command


@click.command(
    cls=Command,
    examples=[
        "llamactl deploy 8b",
        "llamactl deploy 70b --gpus 8",
        "llamactl deploy meta-llama/Llama-3.2-1B-Instruct --name tiny --device cpu",
        "llamactl deploy 8b --gpu NVIDIA-L4 --max-model-len 8192 --hf-token-file ~/hf-token",
        "llamactl deploy 8b --engine transformers --max-model-len 8192",
        "llamactl deploy 8b --meta-url-file url.txt",
        "llamactl deploy 70b --set sizing.kvCacheDtype=fp8 --set 'engine.args=[--seed=1]'",
        "llamactl deploy 8b --adapter sql=my-org/llama-8b-sql",
        "llamactl deploy 8b --dry-run=client > llama.yaml",
    ],
)
@click.argument("model")
@click.option("--name", default="", help="Name of the deployment. Default: from the model.")
@click.option(
    "--gpus", type=click.IntRange(1, 4096), help="GPUs of one replica, exactly. Default: fewest."
)
@click.option("--replicas", type=click.IntRange(0, 10000), help="Copies of the server. Default 1.")
@click.option("--gpu", metavar="PRODUCT", help="GPU product, as nvidia.com/gpu.product says it.")
@click.option(
    "--device-class",
    metavar="NAME",
    help="DeviceClass to claim the GPUs of, instead of the device plugin's resource.",
)
@click.option("--device", type=click.Choice(["cuda", "rocm", "cpu"]), help="Default cuda.")
@click.option("--engine", type=click.Choice(["vllm", "transformers"]), help="Server. Default vllm.")
@click.option("--backend", type=click.Choice(["native", "kserve"]), help="Default native.")
@click.option("--max-model-len", type=click.IntRange(1), help="Longest context in tokens.")
@click.option("--image", help="Container image of the server.")
@click.option("--runtime-class", metavar="NAME", help="RuntimeClass of the pods.")
@click.option("--storage-class", metavar="NAME", help="StorageClass of the weights' volume.")
@click.option(
    "--adapter",
    "adapters",
    multiple=True,
    metavar="NAME=WHERE",
    help="LoRA adapter: org/repo, or pvc:CLAIM/PATH; can be repeated.",
)
@options.hf_token
@click.option(
    "--meta-url-file",
    type=click.File("r"),
    help="URL of Meta's e-mail; stored in a Secret, and the weights come from Meta. - reads stdin.",
)
@options.assignments
@click.option("--overwrite", is_flag=True, help="Change a deployment of that name.")
@options.dry_run("client", "server")
@click.option("--wait/--no-wait", default=True, help="Wait until it answers (default).")
@options.timeout("30m")
@options.output("text", "json", "yaml", "name")
@options.cluster
def command(model: str, fmt: str, **given: Any) -> None:
    """Serve MODEL: fetch its weights, plan its GPUs, start a server, make an endpoint.

    MODEL is a catalogue id (`llamactl models`), a short form such as 70b, or org/repo of
    Hugging Face. The same command again changes nothing and waits again.
    """
    from llamactl import credentials, modelname
    from llamactl.deploying import Deploying

    credentials.refuse_two(given)
    resolved = modelname.resolve(model)
    if resolved.said(model):
        output.talk(resolved.said(model))
    Deploying(resolved, given, fmt).run()

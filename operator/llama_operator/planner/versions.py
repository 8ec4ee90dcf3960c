"""vLLM versions: which engine they run, how it counts memory, and the default images.

The figures of one engine are wrong for another by gigabytes: the sampler of 0.8 to 0.11 took
4.8 GiB where that of 0.24 takes 0.9. Versions between what was measured are planned with the
more cautious neighbour, and `assumed` says so.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from llama_operator.api.errors import LlamaError, PlanRefused

# Not newer than what was measured on GPUs.
DEFAULT_VLLM_VERSION: Final = "0.24.0"
DEFAULT_IMAGE: Final = f"vllm/vllm-openai:v{DEFAULT_VLLM_VERSION}"
_DEFAULT_IMAGES: Final = {
    "cuda": DEFAULT_IMAGE,
    "rocm": f"vllm/vllm-openai-rocm:v{DEFAULT_VLLM_VERSION}",
    "cpu": f"public.ecr.aws/q9t5s3a7/vllm-cpu-release-repo:v{DEFAULT_VLLM_VERSION}",
}
# The launcher sets parts of this server that other major versions lay out otherwise.
DEFAULT_TRANSFORMERS_VERSION: Final = "5.19.0"
_TRANSFORMERS_IMAGES: Final = {
    "cuda": f"huggingface/transformers-pytorch-gpu:{DEFAULT_TRANSFORMERS_VERSION}",
}
_VERSION: Final = re.compile(r"v?(\d{1,4})\.(\d{1,4})(?:\.(\d{1,4}))?(?:[.+-]?[A-Za-z0-9.+-]*)?")
_OLDEST: Final = (0, 2)
# Architectures that came later than the oldest version that is planned for.
_SINCE: Final = {
    "Llama4ForConditionalGeneration": (0, 8, 3),
    "Llama4ForCausalLM": (0, 8, 3),
}


class Engine(NamedTuple):
    """How the engine of a vLLM version counts memory.

    `runner` is V0 (before 0.8), V1 or V2 (model runner, from 0.24). `utilization` is the share
    of a card that its versions take by default. `graphs_in_budget` tells whether CUDA graphs
    are taken out of the KV budget, `largest_batch` how many tokens a batch has by default on a
    card of 160 GiB and more. `min_capability` is the oldest CUDA compute capability of its
    images, `assumed` what is not measured, "" where it is.
    """

    runner: str
    utilization: float
    graphs_in_budget: bool = False
    largest_batch: int = 8192
    streams_online_fp8: bool = True
    min_capability: float = 7.0
    assumed: str = ""


_NEWER: Final = "0.25 and newer are planned as 0.24, the newest that was measured"
_ENGINES: Final = (
    ((0, 28), Engine("V2", 0.92, largest_batch=16384, min_capability=7.5, assumed=_NEWER)),
    ((0, 25), Engine("V2", 0.92, min_capability=7.5, assumed=_NEWER)),
    ((0, 24), Engine("V2", 0.92, min_capability=7.5)),
    (
        (0, 21),
        Engine(
            "V1", 0.92, graphs_in_budget=True,
            assumed="0.21 to 0.23 are planned as 0.11 with CUDA graphs inside the budget",
        ),
    ),
    ((0, 14), Engine("V1", 0.90, assumed="0.12 to 0.20 are planned as 0.11")),
    ((0, 12), Engine("V1", 0.90, streams_online_fp8=False, assumed="0.12 is planned as 0.11")),
    ((0, 8), Engine("V1", 0.90, streams_online_fp8=False)),
    (
        _OLDEST,
        Engine(
            "V0", 0.90, streams_online_fp8=False,
            assumed="before 0.8 only clear outcomes can be foretold",
        ),
    ),
)  # fmt: skip


def parse(version: str) -> tuple[int, int, int]:
    """("0.24.0") -> (0, 24, 0). Raises LlamaError, field spec.engine.version."""
    match = _VERSION.fullmatch(version.strip())
    if match is None:
        raise LlamaError(
            f"{version!r} is not a vLLM version",
            field="spec.engine.version",
            fix=f"Write it as {DEFAULT_VLLM_VERSION}",
        )
    return int(match[1]), int(match[2]), int(match[3] or 0)


def engine_of(version: str) -> Engine:
    """The engine of a version. Raises LlamaError for text that is none, or one before 0.2."""
    found = parse(version)
    for since, engine in _ENGINES:
        if found >= since:
            return engine
    raise LlamaError(
        f"vLLM {version} is older than 0.2 and cannot be planned for",
        field="spec.engine.version",
        fix=f"Use {DEFAULT_VLLM_VERSION}",
    )


def check_architecture(architecture: str, version: str) -> None:
    """Raises PlanRefused (ModelNotServable) for a model that the version does not know yet."""
    since = _SINCE.get(architecture, ())
    if parse(version) >= since:
        return
    first = ".".join(map(str, since))
    raise PlanRefused(
        "ModelNotServable",
        f"vLLM {version} does not know {architecture}, which came with {first}",
        field="spec.engine.version",
        fix=f"Use {first} or newer",
    )


def version_of_image(image: str) -> str:
    """The vLLM version that an image's tag names, or "" ("x/vllm:v0.24.0-cu130" -> "0.24.0")."""
    tag = image.split("@", 1)[0].rsplit("/", 1)[-1].partition(":")[2]
    match = re.search(r"(?:^|[^0-9.])v?(\d{1,4}\.\d{1,4}\.\d{1,4})(?![0-9])", tag)
    return match[1] if match else ""


def default_version(device: str) -> str:
    """The vLLM version of the device's default image."""
    return version_of_image(default_image(device)) or DEFAULT_VLLM_VERSION


def default_image(device: str) -> str:
    """The image that serves on a device where the user names none.

    Raises LlamaError for a device other than cuda, rocm and cpu.
    """
    if device not in _DEFAULT_IMAGES:
        raise LlamaError(
            f"{device!r} is not a device",
            field="spec.engine.device",
            fix=f"One of {', '.join(_DEFAULT_IMAGES)}",
        )
    return _DEFAULT_IMAGES[device]


def transformers_image(device: str) -> str:
    """The same for the engine transformers.

    Raises PlanRefused (ModelNotServable) for the devices that nobody publishes one for.
    """
    if device not in _TRANSFORMERS_IMAGES:
        raise PlanRefused(
            "ModelNotServable",
            f"there is no default image of transformers for {device}",
            field="spec.engine.image",
            fix="Name one with transformers[serving] and prometheus_client",
        )
    return _TRANSFORMERS_IMAGES[device]

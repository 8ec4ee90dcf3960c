"""Objects for the tests, each showing only what matters."""

from __future__ import annotations

import base64
import json
import time
from typing import Any

NOW = "2026-11-24T03:00:00Z"


def condition(
    kind: str, status: str, reason: str, message: str = "", **more: Any
) -> dict[str, Any]:
    return {
        "type": kind,
        "status": status,
        "reason": reason,
        "message": message,
        "lastTransitionTime": NOW,
        **more,
    }


def deployment(name: str = "my-llama", **more: Any) -> dict[str, Any]:
    """A LlamaDeployment; `conditions`, `status`, `spec` and `generation` may be given."""
    spec = {"model": "llama-3.1-8b-instruct", "replicas": 1, **more.get("spec", {})}
    status = {"conditions": more.get("conditions", []), **more.get("status", {})}
    return {
        "apiVersion": "llamactl.dev/v1alpha1",
        "kind": "LlamaDeployment",
        "metadata": {
            "name": name,
            "namespace": "n",
            "uid": f"uid-{name}",
            "generation": more.get("generation", 1),
            "creationTimestamp": NOW,
            "managedFields": [{"manager": "llamactl"}],
        },
        "spec": spec,
        "status": status,
    }


PLAN = {
    "gpus": 8,
    "gpuProduct": "NVIDIA-H100-80GB-HBM3",
    "tensorParallel": 8,
    "pipelineParallel": 1,
    "dtype": "bfloat16",
    "maxModelLen": 131072,
    "maxNumSeqs": 256,
    "kvTokens": 1_402_112,
    "perGpu": {
        "weightsBytes": 17_700_000_000,
        "kvCacheBytes": 57_400_000_000,
        "activationBytes": 2_000_000_000,
        "cudaGraphBytes": 700_000_000,
        "otherBytes": 1_500_000_000,
        "freeBytes": 5_700_000_000,
    },
    "reason": "8 GPUs hold the weights and the full context of 131,072 tokens.",
}


def ready(name: str = "my-llama", **more: Any) -> dict[str, Any]:
    """A LlamaDeployment that serves."""
    status = {
        "readyReplicas": 1,
        "replicas": 1,
        "plan": PLAN,
        "weights": {"name": "llama-70b-abc"},
        "endpoint": {
            "url": f"http://{name}.n.svc:8000/v1",
            "servedModelName": "llama-3.1-8b-instruct",
            "secretName": f"{name}-api-key",
        },
        **more.pop("status", {}),
    }
    conditions = [
        condition("Ready", "True", "Serving", "1 of 1 replicas answer."),
        condition("Planned", "True", "Fits", PLAN["reason"]),  # type: ignore[arg-type]
        condition("WeightsReady", "True", "Ready", "The weights are verified."),
        condition("Available", "True", "MinimumReplicasReady", "1 of 1."),
        condition("Degraded", "False", "Healthy", ""),
    ]
    return deployment(name, conditions=conditions, status=status, **more)


def pod(
    name: str = "my-llama-0", owner: str = "my-llama", *, is_ready: bool = True
) -> dict[str, Any]:
    return {
        "metadata": {
            "name": name,
            "namespace": "n",
            "creationTimestamp": NOW,
            "labels": {"llamactl.dev/deployment": owner},
        },
        "spec": {"nodeName": "node-1"},
        "status": {
            "phase": "Running",
            "conditions": [{"type": "Ready", "status": str(is_ready)}],
            "containerStatuses": [{"restartCount": 0, "state": {"running": {}}}],
        },
    }


def weights(name: str = "llama-70b-abc", **more: Any) -> dict[str, Any]:
    return {
        "apiVersion": "llamactl.dev/v1alpha1",
        "kind": "LlamaWeights",
        "metadata": {"name": name, "namespace": "n", "generation": 1},
        "spec": {"model": "llama-3.3-70b-instruct", **more.get("spec", {})},
        "status": {"conditions": more.get("conditions", []), **more.get("status", {})},
    }


def secret(key: str, entry: str = "default") -> dict[str, Any]:
    return {"data": {entry: base64.b64encode(key.encode()).decode()}}


def meta_url(host: str = "llama3-1.llamameta.net", seconds: float = 3600) -> str:
    """A URL as Meta's e-mail has it."""
    until = {"DateLessThan": {"AWS:EpochTime": int(time.time() + seconds)}}
    policy = {"Statement": [{"Resource": f"https://{host}/*", "Condition": until}]}
    encoded = base64.urlsafe_b64encode(json.dumps(policy).encode()).decode().rstrip("=")
    return f"https://{host}/*?Policy={encoded}&Signature=very-secret-signature&Key-Pair-Id=K1"

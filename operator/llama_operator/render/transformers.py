"""The command of a server of transformers: one JSON value, which the launcher reads.

`transformers serve` has flags for host, port, device and type alone; model, name, context and
drain go to the launcher that runs it behind the guard (`guard/llama_serve.py`).
"""

from __future__ import annotations

import json

from llama_operator import guard
from llama_operator.render import flags
from llama_operator.render.inputs import Object, Serving

CACHE_DIR = "/cache"


def program(serving: Serving, model_dir: str) -> Object:
    """Command and arguments of the container."""
    setting = {
        "path": model_dir,
        "name": flags.served_name(serving),
        "device": device(serving),
        "dtype": serving.plan.dtype,
        "port": flags.container_port(serving),
        "context": serving.plan.max_model_len,
        "drain": flags.drain_seconds(serving),
    }
    command = ["python3", "-m", guard.LAUNCHER]
    return {"command": command, "args": [json.dumps(setting, sort_keys=True)]}


def device(serving: Serving) -> str:
    """Where layers go: spread over all GPUs of the pod, to the only one, or to memory."""
    if serving.spec.engine.device == "cpu":
        return "cpu"
    # ROCm's torch calls its devices cuda as well.
    return "cuda:0" if serving.plan.gpus == 1 else "balanced"


def variables(serving: Serving) -> list[Object]:
    """No telemetry, no downloads, and only the emptyDirs to write to."""
    values = {
        "HOME": "/tmp",  # noqa: S108 - an emptyDir of the pod's own
        # An arbitrary uid has no passwd entry, and torch asks for a user name.
        "USER": "llama",
        "TRITON_CACHE_DIR": f"{CACHE_DIR}/triton",
        "HF_HOME": f"{CACHE_DIR}/huggingface",
        "HF_HUB_OFFLINE": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        # A log is read while it is written.
        "PYTHONUNBUFFERED": "1",
    }
    if serving.spec.engine.device == "cpu":
        threads = max(1, serving.plan.host.cpu_millis // 1000)
        values |= {"OMP_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "PASSIVE"}
    return [{"name": name, "value": value} for name, value in values.items()]

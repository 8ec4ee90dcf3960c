"""The environment of a server: secrets by reference only, no telemetry, no downloads."""

from __future__ import annotations

from llama_operator.api.wire import as_dict
from llama_operator.render import guarding, outward, tracing, transformers
from llama_operator.render.inputs import Object, Serving

CACHE_DIR = "/cache"


def server_env(serving: Serving) -> list[Object]:
    """Ours, then the user's; reserved names never reach this point.

    A name stands once: server-side apply refuses a list of two entries with one key.
    """
    settings = serving.settings
    vllm = serving.spec.engine.type == "vllm"
    own = _common() if vllm else transformers.variables(serving)
    own += outward.proxy_env(settings)
    own += outward.ca_env(settings.ca_bundle, "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")
    if vllm:
        own += tracing.tracing_env(serving)
        own += _cpu(serving) if serving.spec.engine.device == "cpu" else []
    user = [as_dict(entry) for entry in serving.spec.engine.env]
    theirs = {entry["name"] for entry in user}
    kept = [entry for entry in own if entry["name"] not in theirs] + user
    # Never theirs: a CRD of another version may have let them through.
    ours = guarding.env(serving)
    closed = {entry["name"] for entry in ours}
    return ours + [entry for entry in kept if entry["name"] not in closed]


def _common() -> list[Object]:
    values = {
        "HOME": "/tmp",  # noqa: S108 - an emptyDir of the pod's own
        # An arbitrary uid has no passwd entry, and torch asks for a user name.
        "USER": "vllm",
        "VLLM_CACHE_ROOT": f"{CACHE_DIR}/vllm",
        "TRITON_CACHE_DIR": f"{CACHE_DIR}/triton",
        "HF_HUB_OFFLINE": "1",
        "VLLM_NO_USAGE_STATS": "1",
    }
    return [{"name": name, "value": value} for name, value in values.items()]


def _cpu(serving: Serving) -> list[Object]:
    # Ranks in one pod see one NUMA node: bound, they would refuse to start.
    threads = max(1, serving.plan.host.cpu_millis // 1000 // serving.plan.gpus)
    values = {
        "VLLM_TARGET_DEVICE": "cpu",
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "OMP_NUM_THREADS": str(threads),
        # Spinning threads on busy cores made a request seven times slower.
        "OMP_WAIT_POLICY": "PASSIVE",
    }
    return [{"name": name, "value": value} for name, value in values.items()]

"""The compile cache: a claim, and the keeper beside the engine that alone sees it.

The engine works in a directory of its pod, as without. What it compiled is code that the next
server runs, so the engine, which reads what strangers send, cannot write where it is kept.
"""

from __future__ import annotations

from llama_operator import compilecache, sources
from llama_operator.api import labels
from llama_operator.api.quantity import format_bytes, parse_bytes
from llama_operator.api.v1alpha1_cache import CompileCacheStorage
from llama_operator.api.wire import as_dict
from llama_operator.render import env, flags
from llama_operator.render.carried import as_file
from llama_operator.render.inputs import Object, Serving
from llama_operator.render.meta import digest, metadata, selector

KEEPER = "compile-cache"
_CODE = "compile-cache-code"
_FLASHINFER = "FLASHINFER_WORKSPACE_BASE"
DEFAULT_BYTES = 5 << 30
# One look a second; an unpacking that takes longer than ten minutes is begun anew.
_RESTORE_LOOKS = 600


def storage(serving: Serving) -> CompileCacheStorage | None:
    """The volume that servers of this spec use; None for none, as over several nodes, where each
    rank compiles a part of its own, and for transformers, which compiles nothing."""
    wish = serving.spec.compile_cache
    alone = serving.plan.nodes == 1 and serving.spec.engine.type == "vllm"
    return wish.storage if wish.enabled and alone else None


def claim_name(serving: Serving) -> str:
    """The user's claim, or the one that is made."""
    place = storage(serving)
    return (place.claim_name if place else "") or f"{serving.owner.name}-compile-cache"


def claims(serving: Serving, template: Object) -> list[Object]:
    """The claim of these servers: also where it is an earlier revision that mounts it."""
    name = f"{serving.owner.name}-compile-cache"
    mounted = [
        volume["persistentVolumeClaim"]["claimName"]
        for volume in template["spec"]["volumes"]
        if volume["name"] == KEEPER
    ]
    return [_claim(serving, name)] if name in mounted else []


def _claim(serving: Serving, name: str) -> Object:
    place = serving.spec.compile_cache.storage or CompileCacheStorage()
    size = parse_bytes(place.size, "spec.compileCache.storage.size") if place.size else 0
    spec: Object = {
        "accessModes": list(_modes(serving, place)),
        "resources": {"requests": {"storage": format_bytes(size or DEFAULT_BYTES)}},
    }
    if place.storage_class_name:
        spec["storageClassName"] = place.storage_class_name
    meta = metadata(serving.owner, name, KEEPER)
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": meta, "spec": spec}


def _modes(serving: Serving, place: CompileCacheStorage) -> tuple[str, ...]:
    auto = "ReadWriteOnce" if serving.weights.one_node else "ReadWriteMany"
    return place.access_modes or (auto,)


def one_node(serving: Serving) -> list[Object]:
    """Terms of pod affinity: servers whose volume only one node can mount stay together."""
    place = storage(serving)
    if place is None or "ReadWriteMany" in _modes(serving, place):
        return []
    own = {"matchLabels": selector(serving.owner, labels.SERVER)}
    return [{"labelSelector": own, "topologyKey": "kubernetes.io/hostname"}]


def key(serving: Serving) -> str:
    """Of all that compiled code hangs on: image, GPU, copy, layout and flags.

    vLLM has a key of its own inside, which decides; this one keeps files small, and old ones apart.
    """
    spec = serving.spec
    return digest(
        {
            "image": serving.image,
            "vllm": serving.vllm_version,
            "gpu": serving.plan.gpu_product,
            "weights": serving.weights.path,
            "plan": flags.plan_args(serving.plan, spec.engine.device),
            "engine": as_dict(spec.engine),
        }
    )


# -- what the pod gets -----------------------------------------------------------------------------


def carried(serving: Serving) -> dict[str, str]:
    """Annotations: the keeper's source."""
    if not storage(serving):
        return {}
    return {labels.COMPILE_CACHE: sources.carried(compilecache.FILE)}


def engine_env(serving: Serving) -> list[Object]:
    """What else compiles is to do it where it is kept."""
    theirs = {str(entry["name"]) for entry in serving.spec.engine.env}
    if not storage(serving) or _FLASHINFER in theirs:
        return []
    return [{"name": _FLASHINFER, "value": f"{env.CACHE_DIR}/flashinfer"}]


def volumes(serving: Serving) -> list[Object]:
    """The keeper's file, and the claim."""
    if not storage(serving):
        return []
    item = as_file(labels.COMPILE_CACHE, compilecache.FILE)
    claim = {"claimName": claim_name(serving)}
    return [
        {"name": _CODE, "downwardAPI": {"items": [item]}},
        {"name": KEEPER, "persistentVolumeClaim": claim},
    ]


def keepers(serving: Serving, security: Object) -> list[Object]:
    """A container that runs from before the engine starts until after it has ended."""
    place = storage(serving)
    if place is None:
        return []
    ready = f"{env.CACHE_DIR}/{compilecache.READY_FILE}"
    values = {
        compilecache.CACHE_VARIABLE: env.CACHE_DIR,
        compilecache.STORE_VARIABLE: compilecache.STORE_DIR,
        compilecache.KEY_VARIABLE: key(serving),
        compilecache.HEALTH_VARIABLE: f"http://127.0.0.1:{flags.container_port(serving)}/health",
    }
    return [
        {
            "name": KEEPER,
            "image": serving.image,
            "command": ["python3", "-S", f"{compilecache.CODE_DIR}/{compilecache.FILE.name}"],
            "restartPolicy": "Always",
            "env": [{"name": name, "value": value} for name, value in values.items()],
            "resources": {
                "requests": {"cpu": "10m", "memory": "64Mi"},
                "limits": {"memory": "512Mi"},
            },
            "securityContext": security,
            "volumeMounts": _mounts(serving, place),
            "startupProbe": {
                "exec": {"command": ["test", "-e", ready]},
                "periodSeconds": 1,
                "failureThreshold": _RESTORE_LOOKS,
            },
            "terminationMessagePolicy": "FallbackToLogsOnError",
        }
    ]


def _mounts(serving: Serving, place: CompileCacheStorage) -> list[Object]:
    store: Object = {"name": KEEPER, "mountPath": compilecache.STORE_DIR}
    if place.claim_name:
        # Others' directories on it are out of reach.
        store["subPath"] = f"compile-cache/{serving.owner.name}"
    return [
        {"name": _CODE, "mountPath": compilecache.CODE_DIR, "readOnly": True},
        {"name": "cache", "mountPath": env.CACHE_DIR},
        store,
    ]

"""LoRA adapters in a server's pod: their volume, the list of what to load, and what loads it.

All three are there from the start where `spec.lora.enabled` says so, so that no adapter that comes
or goes changes the pod. The list is a ConfigMap that the kubelet brings to servers that run; each
of them loads and unloads by itself. Nobody else can: the routes that do are opened inside the
process only, and the guard closes them to everybody outside.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from llama_operator import sources
from llama_operator.api import labels
from llama_operator.guard import CODE_DIR as GUARD_DIR
from llama_operator.guard import adapters as guard
from llama_operator.planner.lora import Lora
from llama_operator.render.carried import as_file

if TYPE_CHECKING:
    from llama_operator.render.inputs import Object, Serving

VOLUME, _LIST, _CODE = "adapters", "adapter-list", "adapter-code"


def name_of(deployment: str) -> str:
    """Name of the claim with the files, and of the ConfigMap with the list."""
    return f"{deployment}-adapters"


def args(serving: Serving) -> list[str]:
    """Flags: room for adapters, and what loads them."""
    wanted = serving.spec.lora
    if not wanted.enabled:
        return []
    lora = Lora(wanted.max_adapters, wanted.max_rank)
    return [
        "--enable-lora",
        f"--max-loras={lora.adapters}",
        f"--max-lora-rank={lora.reserved_rank}",
        f"--middleware={guard.MIDDLEWARE}",
    ]


def env(serving: Serving) -> list[Object]:
    """Opens vLLM's own routes for it, and says where Python finds the code beside the guard's."""
    if not serving.spec.lora.enabled:
        return []
    return [{"name": "VLLM_ALLOW_RUNTIME_LORA_UPDATING", "value": "1"}]


def python_path(serving: Serving) -> str:
    """Where Python finds what is mounted."""
    return f"{GUARD_DIR}:{guard.CODE_DIR}" if serving.spec.lora.enabled else GUARD_DIR


def carried(serving: Serving) -> dict[str, str]:
    """Annotations: the source of what loads them."""
    return {labels.ADAPTERS: sources.carried(guard.FILE)} if serving.spec.lora.enabled else {}


def mounts(serving: Serving) -> list[Object]:
    """Files, list and code, read-only."""
    if not serving.spec.lora.enabled:
        return []
    paths = {VOLUME: guard.FILES_DIR, _LIST: guard.LIST_DIR, _CODE: guard.CODE_DIR}
    return [{"name": name, "mountPath": path, "readOnly": True} for name, path in paths.items()]


def volumes(serving: Serving) -> list[Object]:
    """The claim, the ConfigMap and the annotation as a file."""
    if not serving.spec.lora.enabled:
        return []
    name = name_of(serving.owner.name)
    item = as_file(labels.ADAPTERS, guard.FILE)
    return [
        # Read-only for the container alone: a volume that is mounted so first keeps its owner, and
        # where a node has mounted it already nobody gets it for the Job that writes.
        {"name": VOLUME, "persistentVolumeClaim": {"claimName": name}},
        {"name": _LIST, "configMap": {"name": name}},
        {"name": _CODE, "downwardAPI": {"items": [item]}},
    ]


def mounted(template: Object) -> bool:
    """Whether pods of this template have room for adapters."""
    volumes = template.get("spec", {}).get("volumes", ())
    return any(volume["name"] == VOLUME for volume in volumes)

"""The claim of a copy, and its size."""

from __future__ import annotations

from llama_operator.api.quantity import format_bytes, parse_bytes
from llama_operator.api.v1alpha1_source import Storage
from llama_operator.planner.delivery import volume_bytes
from llama_operator.render.inputs import Fetching, Object
from llama_operator.render.meta import metadata


def users_claim(storage: Storage | None) -> str:
    """The claim that the user has named to keep copies on; "" for none."""
    return (storage.claim_name if storage else "") or ""


def claim_name(fetching: Fetching) -> str:
    """The user's claim, or one named like the LlamaWeights."""
    return users_claim(fetching.spec.storage) or fetching.owner.name


def claim_bytes(spec_size: str, checkpoint_bytes: int) -> int:
    """Bytes to ask for: the user's size, or the checkpoint with head-room, at least 1 GiB."""
    if spec_size and spec_size != "0":
        return parse_bytes(spec_size, "spec.storage.size")
    return volume_bytes(checkpoint_bytes)


def claim(fetching: Fetching) -> Object:
    """A PersistentVolumeClaim for one copy; it is removed with its LlamaWeights."""
    storage = fetching.spec.storage
    modes = storage.access_modes if storage else ()
    spec: Object = {
        "accessModes": list(modes or ["ReadWriteOnce"]),
        "resources": {"requests": {"storage": format_bytes(fetching.claim_bytes)}},
    }
    if storage and storage.storage_class_name:
        spec["storageClassName"] = storage.storage_class_name
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": metadata(fetching.owner, fetching.owner.name, "weights"),
        "spec": spec,
    }

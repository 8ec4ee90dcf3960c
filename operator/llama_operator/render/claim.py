"""The claim of a copy, and its size."""

from __future__ import annotations

from llama_operator.api.quantity import GIB, format_bytes, parse_bytes
from llama_operator.render.inputs import Fetching, Object
from llama_operator.render.meta import metadata

# File systems keep some of a volume for themselves: ext4 about 2 % for its tables and 5 % for root.
HEADROOM = 1.1
SMALLEST = GIB


def claim_name(fetching: Fetching) -> str:
    """The user's claim, or one named like the LlamaWeights."""
    storage = fetching.spec.storage
    return (storage.claim_name if storage else "") or fetching.owner.name


def claim_bytes(spec_size: str, checkpoint_bytes: int) -> int:
    """Bytes to ask for: the user's size, or the checkpoint with head-room, at least 1 GiB."""
    if spec_size and spec_size != "0":
        return parse_bytes(spec_size, "spec.storage.size")
    return max(SMALLEST, int(checkpoint_bytes * HEADROOM))


def claim(fetching: Fetching) -> Object:
    """A PersistentVolumeClaim for one copy; it is removed with its LlamaWeights."""
    storage = fetching.spec.storage
    spec: Object = {
        "accessModes": list(storage.access_modes or ["ReadWriteOnce"])
        if storage
        else ["ReadWriteOnce"],
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

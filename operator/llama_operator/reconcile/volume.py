"""`VolumeReady`: whether the claim can exist, is bound, and is large enough."""

from __future__ import annotations

from dataclasses import replace

from llama_operator.api.conditions import Condition
from llama_operator.api.quantity import human_bytes, parse_bytes
from llama_operator.api.v1alpha1 import LlamaWeightsSpec
from llama_operator.diagnose import events as kubernetes
from llama_operator.reconcile.snapshot import Object, WeightsView
from llama_operator.reconcile.source import claim_of, missing_claim
from llama_operator.render.claim import users_claim
from llama_operator.render.inputs import Fetching

_DEFAULT = "storageclass.kubernetes.io/is-default-class"


def volume_condition(view: WeightsView, fetching: Fetching) -> Condition:
    """What is known of the claim before and while the fetch runs."""
    named = users_claim(view.spec.storage)
    found = (
        view.named_claim if named else view.children.get(("PersistentVolumeClaim", fetching.claim))
    )
    needed = fetching.needed
    if not fetching.claim:
        return missing_claim(view) or Condition(
            "VolumeReady", "True", "Bound", f"The files lie on {fetching.origin.said}"
        )
    if found is not None:
        claim = _claim_condition(found, needed, "claimName" if named else "size")
        complaint = kubernetes.worst([found], view.events)
        return (
            replace(claim, message=f"{claim.message}. {complaint.message}") if complaint else claim
        )
    if named:
        return _bad(
            "ClaimMissing",
            f"spec.storage.claimName: there is no PersistentVolumeClaim {named!r}; make it, or remove "
            "the field to get one",
        )
    if fetching.claim_bytes < needed:
        return _too_small("size", "the claim would have", fetching.claim_bytes, needed)
    return _class_condition(view)


def lost_claim(view: WeightsView) -> Condition | None:
    """Why a finished copy is not there any more; None as far as is known.

    Only a claim of our own is watched; one that the user named is the user's.
    """
    named = users_claim(view.spec.storage)
    placed = claim_of(view) != view.owner.name
    if named or placed or ("PersistentVolumeClaim", view.owner.name) in view.children:
        return None
    return _bad(
        "ClaimMissing",
        f"PersistentVolumeClaim {view.owner.name} is gone or being deleted, and the copy with it; "
        "delete this LlamaWeights to fetch it again",
    )


def _bad(reason: str, message: str) -> Condition:
    return Condition("VolumeReady", "False", reason, message)


def _class_condition(view: WeightsView) -> Condition:
    classes = view.world.storage_classes
    names = sorted(entry["metadata"]["name"] for entry in classes)
    wanted = view.spec.storage.storage_class_name if view.spec.storage else ""
    if wanted and wanted not in names:
        known = f"there are: {', '.join(names)}" if names else "there is none"
        return _bad(
            "StorageClassMissing",
            f"spec.storage.storageClassName: there is no StorageClass {wanted!r}; {known}",
        )
    if not wanted and not any(_is_default(entry) for entry in classes):
        return _bad(
            "StorageClassMissing",
            "spec.storage.storageClassName: the cluster has no default StorageClass; "
            + (f"set one of: {', '.join(names)}" if names else "install one"),
        )
    return Condition("VolumeReady", "Unknown", "WaitingForConsumer", "The claim is being made")


def _is_default(storage_class: Object) -> bool:
    annotations = storage_class["metadata"].get("annotations", {})
    return bool(annotations.get(_DEFAULT) == "true")


def _too_small(field: str, subject: str, size: int, needed: int) -> Condition:
    return _bad(
        "TooSmall",
        f"spec.storage.{field}: {subject} {human_bytes(size)}, the checkpoint needs "
        f"{human_bytes(needed)}; enlarge it",
    )


def _claim_condition(found: Object, needed: int, field: str) -> Condition:
    name = found["metadata"]["name"]
    status = found.get("status", {})
    if status.get("phase") != "Bound":
        return _bad("WaitingForConsumer", f"PersistentVolumeClaim {name} is not bound yet")
    size = parse_bytes(status.get("capacity", {}).get("storage", "0"))
    asked = found.get("spec", {}).get("resources", {}).get("requests", {}).get("storage", "0")
    if size < needed <= parse_bytes(asked):
        # Some file systems grow only when a pod mounts them: the fetch must not wait for it.
        return _bad("WaitingForConsumer", f"PersistentVolumeClaim {name} is being enlarged")
    if size < needed:
        return _too_small(field, f"PersistentVolumeClaim {name} has", size, needed)
    return Condition("VolumeReady", "True", "Bound", f"PersistentVolumeClaim {name} is bound")


def source_claim(spec: LlamaWeightsSpec) -> str:
    """The claim that the files lie on already, where there is one."""
    origin = spec.source.claim if spec.source else None
    return origin.name if origin else ""

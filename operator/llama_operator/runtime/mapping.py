"""From an object that changed to the keys that must be reconciled because of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from .resource import Key, Object, Resource, key_of

MapFn = Callable[[Object], Iterable[Key]]


def to_self(obj: Object) -> list[Key]:
    """The object itself."""
    return [key_of(obj)]


def to_controller(owner: Resource) -> MapFn:
    """The object of `owner`'s kind that controls it, by its owner references."""

    def find(obj: Object) -> list[Key]:
        reference = controller_of(obj)
        if reference is None or reference["kind"] != owner.kind:
            return []
        group = reference["apiVersion"].rpartition("/")[0]
        if group != owner.group:
            return []
        namespace = obj["metadata"].get("namespace", "") if owner.namespaced else ""
        return [Key(namespace, reference["name"])]

    return find


def to_label(label: str) -> MapFn:
    """The object in the same namespace whose name is the value of `label`."""

    def find(obj: Object) -> list[Key]:
        metadata = obj["metadata"]
        name = (metadata.get("labels") or {}).get(label)
        return [Key(metadata.get("namespace", ""), name)] if name else []

    return find


def controller_of(obj: Object) -> Object | None:
    """The owner reference with `controller: true`."""
    references: list[Object] = obj["metadata"].get("ownerReferences") or []
    return next((ref for ref in references if ref.get("controller")), None)


def owner_uids(obj: Object) -> list[str]:
    """Index function: uids of all owners, to find what belongs to an object and not its name."""
    return [ref["uid"] for ref in obj["metadata"].get("ownerReferences") or []]


def changed_generation(_event: str, old: Object | None, new: Object | None) -> bool:
    """Predicate: ignore updates of status and metadata that leave spec alone.

    Labels, annotations, finalizers and deletion are let through, for they carry intent too.
    """
    if old is None or new is None:
        return True
    return any(_intent(old, name) != _intent(new, name) for name in _INTENT)


_INTENT = ("generation", "labels", "annotations", "finalizers", "deletionTimestamp")


def _intent(obj: Object, name: str) -> object:
    return obj["metadata"].get(name) or None

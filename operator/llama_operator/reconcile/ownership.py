"""Whose an object is, and whether it still is what was intended."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from llama_operator.api import labels
from llama_operator.api.errors import LlamaError
from llama_operator.api.quantity import parse
from llama_operator.reconcile.actions import Action, Apply, Delete

Object = dict[str, Any]
# Immutable: their names carry a hash of their inputs instead.
_NEVER_UPDATED = ("Job", "ControllerRevision")
Known = Mapping[tuple[str, str], Object]  # (kind, name) -> cached object


def owned(obj: Object, uid: str) -> bool:
    """True when the object's controller has this UID; a name proves nothing."""
    references = obj.get("metadata", {}).get("ownerReferences", ())
    return any(ref.get("uid") == uid and ref.get("controller") for ref in references)


def leaves(obj: Object) -> bool:
    """Whether an object is on its way out."""
    return bool(obj["metadata"].get("deletionTimestamp"))


def index(objects: Iterable[Object]) -> dict[tuple[str, str], Object]:
    """Cached children by kind and name."""
    return {(obj["kind"], obj["metadata"]["name"]): obj for obj in objects}


def jobs(known: Known, component: str) -> dict[str, Object]:
    """Cached Jobs of this component, by name."""
    return {
        name: job
        for (kind, name), job in known.items()
        if kind == "Job" and job["metadata"]["labels"].get(labels.COMPONENT) == component
    }


def converge(desired: Iterable[Object], known: Known) -> list[Action]:
    """Apply what differs, in the order given; what is as intended is not sent at all."""
    actions: list[Action] = []
    for obj in desired:
        cached = known.get((obj["kind"], obj["metadata"]["name"]))
        if cached is None or outdated(obj, cached):
            actions.append(_apply(obj, cached))
    return actions


def _apply(obj: Object, cached: Object | None) -> Apply:
    if cached is None:
        return Apply(obj)
    meta = cached["metadata"]
    uid, version = meta.get("uid", ""), meta.get("resourceVersion", "")
    return Apply(obj, known=True, uid=uid, version=version)


def prune(desired: Iterable[Object], known: Known, kinds: Iterable[str]) -> list[Action]:
    """Delete owned children of these kinds that are no longer wanted."""
    wanted = {(obj["kind"], obj["metadata"]["name"]) for obj in desired}
    return [delete(obj) for key, obj in known.items() if key[0] in kinds and key not in wanted]


def delete(obj: Object) -> Delete:
    """A deletion of exactly this object."""
    meta = obj["metadata"]
    return Delete(obj["kind"], meta["namespace"], meta["name"], meta["uid"])


def outdated(desired: Object, live: Object) -> bool:
    """True when an object of ours is to be written again."""
    return desired["kind"] not in _NEVER_UPDATED and changed(desired, live)


def changed(desired: Object, cached: Object) -> bool:
    """True when the intent is another than the applied one, or somebody edited our fields."""
    stamp = desired["metadata"]["annotations"][labels.INTENT_HASH]
    applied = cached["metadata"].get("annotations", {}).get(labels.INTENT_HASH)
    return stamp != applied or not covers(cached, desired)


def covers(live: Any, wanted: Any) -> bool:
    """True when everything wanted is in the live value; what others added is theirs.

    Quantities are compared by value. A list covers if its items do one by one, except where the
    API server keeps items of others in a list: then each wanted item must be found by its name.
    """
    if isinstance(wanted, dict):
        return isinstance(live, dict) and _covers_dict(live, wanted)
    if isinstance(wanted, list):
        return isinstance(live, list) and _covers_list(live, wanted)
    return bool(live == wanted) or _same_quantity(live, wanted)


def _covers_dict(live: Object, wanted: Object) -> bool:
    for key, value in wanted.items():
        # Most are equal, and that is found in one step, however much is below.
        if key in live and live[key] == value:
            continue
        if not _empty(value) and not (key in live and covers(live[key], value)):
            return False
    return True


def _empty(value: Any) -> bool:
    # The API server drops empty maps, lists and strings.
    return value in ({}, [], "", None)


def _covers_list(live: list[Any], wanted: list[Any]) -> bool:
    if all(isinstance(item, dict) and "name" in item for item in wanted):
        named = {item.get("name"): item for item in live if isinstance(item, dict)}
        return all(covers(named.get(item["name"]), item) for item in wanted)
    same = len(live) == len(wanted)
    return same and all(a == b or covers(a, b) for a, b in zip(live, wanted, strict=True))


def _same_quantity(live: Any, wanted: Any) -> bool:
    if not isinstance(wanted, str | int) or not isinstance(live, str | int):
        return False
    try:
        return parse(live) == parse(wanted)
    except LlamaError:
        return False

"""Which revision a deployment is at: the kept one of its spec, or a new one."""

from __future__ import annotations

import zlib
from collections.abc import Container, Iterable
from dataclasses import dataclass
from typing import Any

from llama_operator.api.conditions import Condition
from llama_operator.api.v1alpha1 import LlamaDeploymentSpec
from llama_operator.diagnose.template import stamp
from llama_operator.planner.plan import Plan
from llama_operator.reconcile import mounts, packed, planning, specs
from llama_operator.reconcile.actions import Action
from llama_operator.reconcile.copies import copy_of
from llama_operator.reconcile.holders import answers
from llama_operator.reconcile.ownership import delete
from llama_operator.reconcile.recent import Remembered
from llama_operator.reconcile.snapshot import DeploymentView, Object
from llama_operator.render import revision
from llama_operator.render.inputs import Copy, Serving

KIND = "ControllerRevision"
_PACKED, _COPIES, _STAMP = "packed", "copies", "stamp"
# What revisions follow from; specs are the same objects for as long as they are remembered.
_INPUTS: Remembered[tuple[LlamaDeploymentSpec, Copy], str] = Remembered(specs.KEPT)


@dataclass(frozen=True)
class Kept:
    """A revision as it was written down."""

    name: str
    plan: Plan
    image: str
    vllm_version: str
    template: Object

    @property
    def judgement(self) -> planning.Judgement:
        """The plan stands for as long as the spec does."""
        return planning.Judgement(Condition("Planned", "True", "Fits", self.plan.reason), self.plan)


# Content is never changed, and a template is 30 KB: those that are looked at now.
_READ: Remembered[Any, Kept | None] = Remembered(64)


def find(view: DeploymentView, name: str) -> Kept | None:
    """The revision of this name; None where there is none, or it cannot be read."""
    found = view.children.get((KIND, name))
    if found is None:
        return None
    given = found[_PACKED] if _PACKED in found else found.get("data")
    return _READ.of(found["metadata"].get("uid", ""), given, lambda: _read(found))


def _read(found: Object) -> Kept | None:
    try:
        name = found["metadata"]["name"]
        data = _data(found)
        plan = Plan.from_data(data["plan"])
        return Kept(name, plan, data["image"], data["vllmVersion"], dict(data["template"]))
    except (KeyError, TypeError, ValueError, AttributeError, zlib.error):
        return None  # of another version: what it meant cannot be known


def name_of(view: DeploymentView) -> str:
    """The revision that servers are to be of; "" while the place of the copy is not known."""
    undo = view.spec.rollout.undo_to
    return undo if undo and not undo_problem(view) else _of_spec(view)


def undo_problem(view: DeploymentView) -> str:
    """Why servers cannot go to the revision that `spec.rollout.undoTo` names; "" where they can."""
    undo = view.spec.rollout.undo_to
    if not undo or (mountable(view, undo) and find(view, undo)):
        return ""
    servers = "servers stay as they are"
    if (KIND, undo) in view.children:
        return (
            f"spec.rollout.undoTo: the weights of revision {undo} were removed; {servers}. Name one "
            f"whose weights are there, or remove undoTo and set the spec as it was, which fetches "
            f"them again: llamactl rollout undo {view.owner.name} --off"
        )
    kept = ", ".join(sorted(obj["metadata"]["name"] for obj in _of(view)))
    return (
        f"spec.rollout.undoTo: there is no revision {undo}; {servers}. Name one that is kept "
        f"({kept}): llamactl rollout history {view.owner.name}"
    )


def _of_spec(view: DeploymentView) -> str:
    if view.weights is None or not {"path", "bytes"} <= set(view.weights.get("status", {})):
        return ""
    spec, copy = view.spec, copy_of(view.weights)
    inputs = _INPUTS.of(view.owner.uid, (spec, copy), lambda: revision.inputs_of(spec, copy))
    return revision.revision_name(view.owner.name, inputs)


def make(view: DeploymentView, serving: Serving, name: str) -> Object:
    """The ControllerRevision of a spec that has none yet, under the name that follows from both.

    Numbered by the spec's generation, so that a cache that does not show the older ones yet gives
    no number twice.
    """
    numbers = [int(obj.get("revision", 0)) for obj in _of(view)]
    generation = int(view.raw["metadata"].get("generation", 0))
    number = max(generation, max(numbers, default=0) + 1)
    return revision.controller_revision(serving, name, number, revision.content(serving))


def spare(view: DeploymentView, needed: Container[str]) -> list[Action]:
    """Deletions of the oldest beyond those that are kept."""
    others = [obj for obj in _of(view) if obj["metadata"]["name"] not in needed]
    others.sort(key=lambda obj: int(obj.get("revision", 0)), reverse=True)
    return [delete(obj) for obj in others[view.spec.rollout.history_limit :]]


def mountable(view: DeploymentView, name: str) -> bool:
    """Whether a revision is kept, and the copies that it mounts are there."""
    found = view.children.get((KIND, name))
    return found is not None and set(copies_of(found)) <= view.copies


def serving_now(view: DeploymentView, update: str) -> str:
    """The revision, other than `update`, whose pods answer; the newest, "" where there is none."""
    stamps = {stamp(pod) for pod in view.pods if answers(pod)} - {""}
    older = [
        obj for obj in _of(view) if obj["metadata"]["name"] != update and stamp_of(obj) in stamps
    ]
    return _newest(older)


def of_stamp(view: DeploymentView, wanted: str) -> str:
    """The newest revision whose pods carry this stamp; "" where there is none."""
    same = [obj for obj in _of(view) if wanted and stamp_of(obj) == wanted]
    return _newest(same)


def _newest(objects: list[Object]) -> str:
    newest = max(objects, key=lambda obj: int(obj.get("revision", 0)), default=None)
    return str(newest["metadata"]["name"]) if newest else ""


def places(children: Iterable[Object]) -> set[str]:
    """Where the copies lie that kept revisions mount."""
    return {copy for obj in children if obj["kind"] == KIND for copy in copies_of(obj)}


def stamp_of(obj: Object) -> str:
    """The stamp that pods of a revision carry."""
    return str(obj[_STAMP]) if _STAMP in obj else stamp((obj.get("data") or {}).get("template"))


def _of(view: DeploymentView) -> list[Object]:
    return [obj for (kind, _), obj in view.children.items() if kind == KIND]


# -- in the cache ---------------------------------------------------------------------------------


def slim(obj: Object, squeeze: packed.Squeezer) -> Object:
    """As the cache keeps it: content packed, since it is read only when a spec is reconciled.

    Ten thousand templates as dictionaries would take half a gigabyte.
    """
    meta = {name: value for name, value in obj["metadata"].items() if name != "managedFields"}
    data = obj.get("data") or {}
    template = data.get("template") if isinstance(data, dict) else None
    server = {"metadata": meta, "spec": {"template": template or {}}}
    return {
        "apiVersion": obj.get("apiVersion", ""),
        "kind": KIND,
        "metadata": meta,
        "revision": obj.get("revision", 0),
        _PACKED: squeeze(data),
        _COPIES: mounts.of_server(server),
        _STAMP: stamp(template),
    }


def copies_of(obj: Object) -> list[str]:
    """Which copies a kept revision mounts, as index values."""
    return list(obj.get(_COPIES, ()))


def _data(obj: Object) -> Any:
    return packed.restored(obj[_PACKED]) if _PACKED in obj else obj["data"]

"""The status of a LlamaWeights: a pure function of what was seen and decided."""

from __future__ import annotations

from llama_operator.api.conditions import Condition, merge
from llama_operator.diagnose import queues
from llama_operator.reconcile.actions import Failure
from llama_operator.reconcile.findings import WeightsDecision
from llama_operator.reconcile.snapshot import Object, WeightsView

_USERS_SHOWN = 32
_ORDER = ("Accessible", "VolumeReady", "Downloaded", "Verified", "Converted")


def build(
    view: WeightsView, decision: WeightsDecision, failure: Failure | None, now: str
) -> Object:
    """The whole status but for `progress`, which is the fetch Job's own."""
    generation = int(view.raw["metadata"].get("generation", 0))
    conditions = _conditions(decision, failure, converted=_is_converted(view, decision))
    old = view.status.get("conditions", [])
    return {
        "observedGeneration": generation,
        "conditions": merge(old, conditions, generation, now),
        **decision.facts,
        "usedBy": list(view.users[:_USERS_SHOWN]),
        "usedByCount": len(view.users),
    }


def _is_converted(view: WeightsView, decision: WeightsDecision) -> bool:
    source = view.spec.source
    if source is None or view.spec.adapter:
        return False
    placed = source.claim is not None and decision.facts.get("path") != source.claim.path
    return source.meta is not None or placed


def _conditions(
    decision: WeightsDecision, failure: Failure | None, *, converted: bool
) -> list[Condition]:
    parts = [_part(kind, decision, converted) for kind in _ORDER]
    if failure is not None:
        return [Condition("Ready", "False", failure.reason, failure.message), *parts]
    unmet = [part for status in ("False", "Unknown") for part in parts if part.status == status]
    if unmet:
        # A claim may wait for the first pod, which waits in the queue.
        first = next((part for part in unmet if part.reason == queues.REASON), unmet[0])
        return [Condition("Ready", first.status, first.reason, first.message), *parts]
    return [Condition("Ready", "True", "Published", "The copy is complete and verified"), *parts]


def _part(kind: str, decision: WeightsDecision, converted: bool) -> Condition:
    found = decision.conditions.get(kind)
    if found is not None:
        return found
    done = bool(decision.facts.get("digest"))
    if done and converted and kind == "Converted":
        return _CONVERTED
    return _DONE[kind] if done else Condition(kind, "Unknown", "Pending", _WAITS[kind])


_CONVERTED = Condition(
    "Converted", "True", "Complete", "Meta's files were converted to safetensors"
)
_DONE = {
    "Accessible": Condition("Accessible", "True", "Authorized", "The source could be read"),
    "VolumeReady": Condition("VolumeReady", "True", "Bound", "The claim holds the copy"),
    "Downloaded": Condition("Downloaded", "True", "Complete", "All files are there"),
    "Verified": Condition(
        "Verified", "True", "ChecksumsMatch", "Every file has its published hash"
    ),
    "Converted": Condition("Converted", "True", "NotNeeded", "The files are safetensors already"),
}

_WAITS = {
    "Accessible": "The source has not been asked yet",
    "VolumeReady": "The claim is made after the source has answered",
    "Downloaded": "The fetch has not begun",
    "Verified": "Files are verified as they are fetched",
    "Converted": "Nothing has been fetched yet",
}

"""What a deployment may believe of the LlamaWeights that it serves from.

The LlamaWeights says itself whether it is ready; whether it is the right one is judged here. A
name proves nothing: `weightsRef` can name a copy of another model, and the name of a shared copy
can be guessed and taken by somebody else.
"""

from __future__ import annotations

import re

from llama_operator.api.conditions import Condition
from llama_operator.api.wire import as_dict
from llama_operator.reconcile import reach, specs
from llama_operator.reconcile.snapshot import DeploymentView, Object
from llama_operator.render import adapters
from llama_operator.render.inputs import Copy
from llama_operator.render.weights import weights_name

_UNDER_WAY = ("Downloading", "WaitingForConsumer", "Converting", "Verifying", "Locked")
# What a hub or a network may get over by itself.
_TEMPORARY = ("RateLimited", "ServerError", "EndpointUnreachable", "Stalled")
_PATH = re.compile(r"^[a-z0-9][a-z0-9.-]*/[0-9a-f]{16}$")


def weights_condition(view: DeploymentView) -> Condition:
    """`WeightsReady`, as the LlamaWeights itself says, if it is the one that is asked for."""
    if view.weights is None:
        return _missing(view)
    name = view.weights["metadata"]["name"]
    other = _other(view, view.weights)
    if other:
        return Condition("WeightsReady", "False", "Failed", other)
    said = view.weights.get("status", {})
    conditions = {entry["type"]: entry for entry in said.get("conditions", ())}
    ready = conditions.get("Ready", {})
    # A status that was edited, or restored in part, may say so and not where the copy is.
    if ready.get("status") == "True" and "path" in said and "bytes" in said:
        return Condition(
            "WeightsReady", "True", "Ready", f"LlamaWeights {name} is verified and ready"
        )
    text = f"LlamaWeights {name}: {ready.get('message', 'not looked at yet')}"
    return Condition("WeightsReady", "False", _reason(conditions), text)


def copy_of(weights: Object) -> Copy:
    """The copy to mount.

    Its claim follows from its spec, never from its status, which the fetch Job may patch: a
    claim of somebody else would be mounted.
    """
    name, status = weights["metadata"]["name"], weights["status"]
    claim = reach.claim_name(weights) or name
    return Copy(name, claim, status["path"], int(status["bytes"]))


def used(raw: Object) -> list[str]:
    """The LlamaWeights that a deployment refers to, by name.

    Raises pydantic.ValidationError for a spec that has to be read to know, and cannot be.
    """
    wire = raw["spec"]
    if wire.get("weightsRef") and not wire.get("adapters"):
        # Of ten thousand that come at once none is remembered: each would be read twice.
        return [str(wire["weightsRef"]["name"])]
    spec = specs.deployments.of(raw)
    return [weights_name(spec), *adapters.names(raw["metadata"]["name"], spec.adapters)]


def failed_for_good(conditions: dict[str, Object]) -> bool:
    """Whether a LlamaWeights with these conditions needs somebody."""
    return _reason(conditions) != "Pending"


def _reason(conditions: dict[str, Object]) -> str:
    volume = conditions.get("VolumeReady", {})
    if volume.get("status") == "False" and volume.get("reason") != "WaitingForConsumer":
        return "VolumeNotUsable"
    passing = {*_UNDER_WAY, *_TEMPORARY}
    bad = [
        entry
        for entry in conditions.values()
        if entry["type"] != "Ready"
        and entry["status"] == "False"
        and entry["reason"] not in passing
    ]
    return "Failed" if bad else "Pending"


def _missing(view: DeploymentView) -> Condition:
    if view.spec.weights_ref is None:
        return Condition("WeightsReady", "False", "Pending", "The LlamaWeights is being made")
    return Condition(
        "WeightsReady",
        "False",
        "NotFound",
        f"spec.weightsRef.name: there is no LlamaWeights {view.spec.weights_ref.name!r} in this "
        "namespace; make it, or remove spec.weightsRef to get one",
    )


def _other(view: DeploymentView, weights: Object) -> str:
    """Why these weights are not the ones to serve; empty when they are."""
    name, spec = weights_name(view.spec), specs.weights.of(weights)
    if _identity(view, spec.model) != _identity(view, view.spec.model):
        where = "spec.weightsRef.name" if view.spec.weights_ref else "spec.model"
        return (
            f"{where}: LlamaWeights {name} holds {spec.model}, and spec.model is "
            f"{view.spec.model}; set one of them to the other's"
        )
    if view.spec.weights_ref is None and as_dict(spec.source) != as_dict(view.spec.source):
        return (
            f"spec.source: LlamaWeights {name} exists and has another source; delete it, or name "
            "it in spec.weightsRef to use it as it is"
        )
    path = weights.get("status", {}).get("path", "")
    placed = spec.source.claim if spec.source else None
    if path and not _PATH.match(path) and (placed is None or path != placed.path):
        return f"LlamaWeights {name} has the path {path[:100]!r}, which is not of our making"
    return ""


def _identity(view: DeploymentView, model: str) -> str:
    found = view.world.catalog.find(model)
    return found.id if found else model

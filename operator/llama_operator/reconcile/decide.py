"""What a LlamaDeployment needs next: pure, from a snapshot to a list of actions.

The order is crash-consistent: whatever is cut off after any action, the same decision on the
new snapshot asks for the rest. Weights first, then servers; nothing is made for a spec that is
refused, and what runs is left alone by a refusal.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from llama_operator.api.conditions import Condition
from llama_operator.api.reserved import reserved_args, reserved_env
from llama_operator.reconcile import planning
from llama_operator.reconcile.actions import Action, CreateKey, CreateWeights
from llama_operator.reconcile.ownership import converge, prune
from llama_operator.reconcile.snapshot import DeploymentView, Object
from llama_operator.render import render, secret
from llama_operator.render.inputs import Copy, Serving
from llama_operator.render.weights import weights, weights_name

# Secrets are never watched (that needs the right to list them), so a missing one is asked for again.
SECRET_POLL_SECONDS = 10.0
_UNDER_WAY = ("Downloading", "WaitingForConsumer", "Converting", "Verifying", "Locked")
# What a hub or a network may get over by itself.
_TEMPORARY = ("RateLimited", "ServerError", "EndpointUnreachable", "Stalled")
_NOT_WANTED = Condition("WeightsReady", "Unknown", "Pending", "Waits for a plan")


@dataclass(frozen=True)
class Decision:
    """What to do, and what was found on the way."""

    judgement: planning.Judgement
    weights_ready: Condition
    actions: list[Action] = field(default_factory=list)
    desired: list[Object] = field(default_factory=list)
    # A reason of `Degraded` that keeps servers from being made.
    blocked: tuple[str, str] | None = None
    requeue_after: float | None = None


def decide(view: DeploymentView) -> Decision:
    """The next actions for a LlamaDeployment that is not being deleted."""
    judgement = _judge(view)
    condition = weights_condition(view)
    if not judgement.wanted:
        return Decision(judgement, condition if view.weights else _NOT_WANTED)
    blocked = _blocked(view)
    if view.spec.paused or blocked:
        again = SECRET_POLL_SECONDS if blocked else None
        return Decision(judgement, condition, blocked=blocked, requeue_after=again)
    actions = [*_make_weights(view), *_make_key(view)]
    if judgement.plan is None or condition.status != "True":
        return Decision(judgement, condition, actions)
    desired = render.serving_objects(serving(view, judgement))
    kinds = ("PodDisruptionBudget", "NetworkPolicy")
    actions += [*converge(desired, view.children), *prune(desired, view.children, kinds)]
    return Decision(judgement, condition, actions, desired)


def _judge(view: DeploymentView) -> planning.Judgement:
    refused = _reserved(view)
    if refused is not None:
        return planning.Judgement(refused, wanted=False)
    current = view.raw.get("status", {}).get("plan", {}).get("gpuProduct", "")
    world = view.world
    return planning.judge(view.spec, world.catalog, world.nodes, view.weights, current)


def _reserved(view: DeploymentView) -> Condition | None:
    # Admission refuses these already; a CRD of another version may not.
    args = reserved_args(view.spec.engine.args)
    names = reserved_env([str(entry["name"]) for entry in view.spec.engine.env])
    if not args and not names:
        return None
    field_name = "spec.engine.args" if args else "spec.engine.env"
    message = f"{field_name}: {', '.join(args or names)} is set by the operator or opens the server; remove it"
    return Condition("Planned", "False", "InvalidParallelism", message)


def weights_condition(view: DeploymentView) -> Condition:
    """`WeightsReady`, as the LlamaWeights itself says."""
    if view.weights is None:
        return _missing_weights(view)
    conditions = {
        entry["type"]: entry for entry in view.weights.get("status", {}).get("conditions", ())
    }
    ready = conditions.get("Ready", {})
    name = view.weights["metadata"]["name"]
    if ready.get("status") == "True":
        return Condition(
            "WeightsReady", "True", "Ready", f"LlamaWeights {name} is verified and ready"
        )
    text = f"LlamaWeights {name}: {ready.get('message', 'not looked at yet')}"
    return Condition("WeightsReady", "False", _weights_reason(conditions), text)


def _weights_reason(conditions: dict[str, Object]) -> str:
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


def _missing_weights(view: DeploymentView) -> Condition:
    if view.spec.weights_ref is None:
        return Condition("WeightsReady", "False", "Pending", "The LlamaWeights is being made")
    return Condition(
        "WeightsReady",
        "False",
        "NotFound",
        f"spec.weightsRef.name: there is no LlamaWeights {view.spec.weights_ref.name!r} in this "
        "namespace; make it, or remove spec.weightsRef to get one",
    )


def _blocked(view: DeploymentView) -> tuple[str, str] | None:
    key, spec = view.key, view.spec
    if key is None:
        return None
    if spec.auth.secret_name:
        return _user_key_problem(key.exists, key.entries, key.name)
    if key.exists and view.owner.uid not in key.owner_uids:
        return (
            "ObjectNotOwned",
            f"Secret {key.name} exists and is not ours; remove it, or name it in spec.auth.secretName to use it",
        )
    return None


def _user_key_problem(exists: bool, entries: frozenset[str], name: str) -> tuple[str, str] | None:
    if not exists:
        fix = f"make it: kubectl create secret generic {name} --from-literal={secret.ENTRY}=KEY"
        return "SecretMissing", f"spec.auth.secretName: there is no Secret {name!r}; {fix}"
    if secret.ENTRY not in entries:
        return (
            "SecretMissing",
            f"spec.auth.secretName: Secret {name!r} has no entry {secret.ENTRY!r}; add it",
        )
    return None


def _make_weights(view: DeploymentView) -> list[Action]:
    if view.weights is not None or view.spec.weights_ref is not None:
        return []
    return [CreateWeights(weights(view.owner.namespace, view.spec))]


def _make_key(view: DeploymentView) -> list[Action]:
    if view.key is None or view.spec.auth.secret_name or view.key.exists:
        return []
    return [CreateKey(view.key.name)]


def serving(view: DeploymentView, judgement: planning.Judgement) -> Serving:
    """What rendering needs; only for a plan whose weights are ready."""
    if judgement.plan is None or view.weights is None:
        raise ValueError("rendering needs a plan and weights")
    status = view.weights["status"]
    copy = Copy(weights_name(view.spec), status["claimName"], status["path"], int(status["bytes"]))
    return Serving(
        owner=view.owner,
        spec=view.spec,
        plan=judgement.plan,
        weights=copy,
        image=planning.engine_image(view.spec),
        vllm_version=planning.engine_version(view.spec),
        settings=view.world.settings,
    )

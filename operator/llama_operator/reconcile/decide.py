"""What a LlamaDeployment needs next: pure, from a snapshot to a list of actions.

The order is crash-consistent: whatever is cut off after any action, the same decision on the
new snapshot asks for the rest. Weights first, then servers; nothing is made for a spec that is
refused, and what runs is left alone by a refusal.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from llama_operator.api.conditions import Condition
from llama_operator.api.reserved import reserved_args, reserved_env
from llama_operator.api.template import GROUP_SET
from llama_operator.planner.plan import Plan
from llama_operator.reconcile import (
    adapters,
    canary,
    claims,
    groups,
    kserve,
    planning,
    podlabels,
    pulls,
    queues,
    reach,
    revisions,
    rollout,
    routing,
    scaling,
    stalls,
    turnover,
)
from llama_operator.reconcile.actions import (
    LEFTOVER_RETRY_SECONDS,
    Action,
    CreateKey,
    CreateWeights,
)
from llama_operator.reconcile.copies import copy_of, weights_condition
from llama_operator.reconcile.course import Course
from llama_operator.reconcile.ownership import converge, prune
from llama_operator.reconcile.recent import Remembered
from llama_operator.reconcile.snapshot import FOLLOW_SECONDS, DeploymentView, Object, SecretView
from llama_operator.render import render, secret
from llama_operator.render.inputs import Owner, Replacing, Serving
from llama_operator.render.weights import weights

# Secrets are never watched (that needs the right to list them), so a missing one is asked for again.
SECRET_POLL_SECONDS = 10.0
# Passes over one deployment come close together, and mostly want the same; each of these is 30 KB.
_RENDERED: Remembered[tuple[Serving, Object, Replacing], list[Object]] = Remembered(64)
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
    # Name of the ControllerRevision that the servers are to be of.
    revision: str = ""
    # Servers whose start hangs; to delete them is among the actions.
    stalls: list[stalls.Stall] = field(default_factory=list)
    # How the adapters are, one by one.
    adapters: list[adapters.Row] = field(default_factory=list)
    # How the servers come to be of it; None while there is nothing to serve.
    course: Course | None = None

    @property
    def plan(self) -> Plan | None:
        """The plan of the servers: not that of the spec, where it is waited for or was given up."""
        return (self.course.plan if self.course else None) or self.judgement.plan


def decide(view: DeploymentView) -> Decision:
    """The next actions for a LlamaDeployment that is not being deleted."""
    name = revisions.name_of(view)
    kept = revisions.find(view, name)
    judgement = kept.judgement if kept else _judge(view)
    condition = weights_condition(view)
    if not judgement.wanted:
        held = claims.problem(view, None)
        return Decision(judgement, condition if view.weights else _NOT_WANTED, blocked=held)
    if judgement.plan is not None and condition.status == "True":
        condition = reach.too_many(view, judgement.plan) or condition
    blocked = _blocked(view)
    ready = judgement.plan is not None and condition.status == "True"
    course, desired = _desired(view, judgement, kept, name) if ready else (None, [])
    lora = adapters.decide(view, judgement.plan, course.newest if course else None)
    missing = _missing(view, course) if course else None
    if missing is not None:
        # What serves already goes on; what is missing is watched, so its coming is seen.
        desired, blocked = [], blocked or missing
    if view.spec.paused or (blocked and blocked != missing):
        again = _poll_seconds(view) if blocked else None
        return Decision(
            judgement,
            condition,
            [],
            desired,
            blocked,
            again,
            name,
            adapters=lora.rows,
            course=course,
        )
    stuck = stalls.find(view)
    actions = [*_make_key(view), *_make_weights(view, judgement), *(each.delete for each in stuck)]
    if ready and not missing:
        actions += scaling.rivals(view, desired)
        actions += [*lora.first, *converge(desired, view.children), *lora.then]
        actions += _spare(view, desired, name, course)
        actions += podlabels.changes(view)
        actions += pulls.actions(view, course.pulling if course else None)
    waits = course.again if course else None, lora.again, routing.again(view)
    again = _soonest(_follow(view), *waits, queues.again(view.queued))
    return Decision(
        judgement, condition, actions, desired, missing, again, name, stuck, lora.rows, course
    )


def _missing(view: DeploymentView, course: Course) -> tuple[str, str] | None:
    """What keeps the servers of this template from being made at all."""
    checks = (groups.problem, kserve.problem, claims.problem)
    return next(filter(None, (check(view, course) for check in checks)), None)


def _spare(
    view: DeploymentView, desired: list[Object], revision: str, course: Course | None
) -> list[Action]:
    kinds = ["PodDisruptionBudget", "NetworkPolicy"]
    if not view.spec.compile_cache.enabled:
        # Otherwise it stays with its deployment: an earlier revision may mount it again.
        kinds.append("PersistentVolumeClaim")
    kept = rollout.needed(view, revision, course) if course else {revision}
    gone = [*prune(desired, view.children, kinds), *scaling.spare(view, desired)]
    gone += [*routing.spare(view, desired), *canary.spare(view, desired)]
    gone += claims.spare(view, desired)
    gone += rollout.leaves(view, course) if course else []
    # A NetworkPolicy of an activator, or of a picker, is of both.
    return [*dict.fromkeys(gone), *revisions.spare(view, kept)]


def _follow(view: DeploymentView) -> float | None:
    """When to look at servers that start or wait to; nothing else tells that one is silent."""
    return FOLLOW_SECONDS if view.starts or view.events else None


def _soonest(*seconds: float | None) -> float | None:
    """When to look again: nothing else tells that a start is silent, or that a GPU is free."""
    return min((each for each in seconds if each is not None), default=None)


def _desired(
    view: DeploymentView, judgement: planning.Judgement, kept: revisions.Kept | None, name: str
) -> tuple[Course, list[Object]]:
    wish = serving(view, judgement)
    # Written down before any server follows it: a crash between the two must not lose it.
    made = [] if kept else [revisions.make(view, wish, name)]
    template = kept.template if kept else made[0]["data"]["template"]
    course = rollout.course(view, name, template, wish.plan.gpus)
    how = course.record.how if course.record else Replacing()
    how = replace(how, older=turnover.older_runs(view, course.template))
    wish = replace(wish, canary=canary.rendered(view, course))
    objects = _RENDERED.of(
        view.owner.uid,
        (wish, course.template, how),
        lambda: render.serving_objects(wish, course.template, how),
    )
    return course, [*made, *objects]


def _judge(view: DeploymentView) -> planning.Judgement:
    refused = _reserved(view)
    if refused is not None:
        return planning.Judgement(refused, wanted=False)
    return planning.judge(view.spec, view.world.catalog, view.nodes, view.weights, _running(view))


def _running(view: DeploymentView) -> planning.Running:
    status, meta = view.raw.get("status", {}), view.raw["metadata"]
    return planning.Running(
        product=status.get("plan", {}).get("gpuProduct", ""),
        served=view.server is not None,
        unchanged=status.get("observedGeneration") == meta.get("generation"),
    )


def _reserved(view: DeploymentView) -> Condition | None:
    # Admission refuses these already; a CRD of another version may not.
    args = reserved_args(view.spec.engine.args)
    names = reserved_env([str(entry["name"]) for entry in view.spec.engine.env])
    if not args and not names:
        return None
    field_name = "spec.engine.args" if args else "spec.engine.env"
    message = f"{field_name}: {', '.join(args or names)} is set by the operator or opens the server; remove it"
    return Condition("Planned", "False", "InvalidParallelism", message)


def _blocked(view: DeploymentView) -> tuple[str, str] | None:
    key, named = view.key, view.spec.auth.secret_name
    if key is None:
        return None
    if not key.exists:
        return _no_secret(key.name) if named else None
    foreign = None if named else _not_ours(view.owner, key)
    return foreign or (None if key.entries else _no_entry(view.owner, key.name))


def _no_secret(name: str) -> tuple[str, str]:
    fix = f"make it: kubectl create secret generic {name} --from-literal={secret.ENTRY}=KEY"
    return "SecretMissing", f"spec.auth.secretName: there is no Secret {name!r}; {fix}"


def _no_entry(owner: Owner, name: str) -> tuple[str, str]:
    fix = f"make one: llamactl key rotate {owner.name} -n {owner.namespace}"
    return "SecretMissing", f"Secret {name!r} has no entry, and each entry is a key; {fix}"


def _not_ours(owner: Owner, key: SecretView) -> tuple[str, str] | None:
    if owner.uid in key.owner_uids:
        return None
    if owner.name in key.owner_names:
        return "ObjectNotOwned", (
            f"Secret {key.name} belongs to a deleted LlamaDeployment of the same name; its "
            "removal is waited for"
        )
    return (
        "ObjectNotOwned",
        f"Secret {key.name} exists and is not ours; remove it, or name it in spec.auth.secretName to use it",
    )


def _poll_seconds(view: DeploymentView) -> float:
    left_over = view.key is not None and view.owner.name in view.key.owner_names
    return LEFTOVER_RETRY_SECONDS if left_over else SECRET_POLL_SECONDS


def _make_weights(view: DeploymentView, judgement: planning.Judgement) -> list[Action]:
    if view.weights is not None or view.spec.weights_ref is not None:
        return []
    product = judgement.plan.gpu_product if judgement.plan else ""
    return [CreateWeights(weights(view.owner.namespace, view.spec, product))]


def _make_key(view: DeploymentView) -> list[Action]:
    if view.key is None or view.spec.auth.secret_name or view.key.exists:
        return []
    return [CreateKey(view.key.name)]


def serving(view: DeploymentView, judgement: planning.Judgement) -> Serving:
    """What rendering needs; only for a plan whose weights are ready."""
    if judgement.plan is None or view.weights is None:
        raise ValueError("rendering needs a plan and weights")
    choice = scaling.choose(view, judgement.plan)
    return Serving(
        owner=view.owner,
        spec=view.spec,
        plan=judgement.plan,
        weights=replace(copy_of(view.weights), one_node=reach.one_node(view)),
        image=planning.engine_image(view.spec, view.world.settings.image_registry),
        vllm_version=planning.engine_version(view.spec),
        settings=view.world.settings,
        measured_speed=view.measured_speed,
        scaling=choice.scaling if choice else None,
        grouped=(GROUP_SET, view.owner.name) in view.children,
        gateway=routing.served(view),
    )

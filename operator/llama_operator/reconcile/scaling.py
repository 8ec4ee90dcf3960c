"""Who scales a deployment, how far, and what is missing for it: pure.

KEDA where it is installed and told where Prometheus is, else a HorizontalPodAutoscaler. From and to
zero needs neither: the activator does that by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from llama_operator.api import labels
from llama_operator.api.conditions import find
from llama_operator.api.errors import LlamaError
from llama_operator.api.quantity import parse
from llama_operator.api.v1alpha1_autoscaling import AutoscalingSpec
from llama_operator.planner.plan import Plan
from llama_operator.reconcile import reach
from llama_operator.reconcile.actions import Action
from llama_operator.reconcile.ownership import delete
from llama_operator.reconcile.packed import unpacked
from llama_operator.reconcile.snapshot import DeploymentView, Object
from llama_operator.render.inputs import Scaling
from llama_operator.render.resources import gpu_resource, quota_of
from llama_operator.render.scalers import HPA_METRICS, KEDA_API

INSTALL = (
    "helm install keda keda --repo https://kedacore.github.io/charts --namespace keda "
    "--create-namespace"
)
# What the autoscaler of Kubernetes says where no metrics adapter answers, or without our rules.
_NO_ADAPTER = "unable to fetch metrics from custom metrics API"
_KINDS = {"KEDA": "ScaledObject", "HPA": "HorizontalPodAutoscaler"}


@dataclass(frozen=True)
class Choice:
    """Who scales, and what a user should know of it."""

    scaling: Scaling
    min_replicas: int
    message: str = ""
    # A reason of `Degraded`, where what is asked for cannot be done.
    missing: tuple[str, str] | None = None

    def to_status(self) -> Object:
        """As status.autoscaling shows it."""
        return {
            "scaler": self.scaling.scaler,
            "minReplicas": min(self.min_replicas, self.scaling.max_replicas),
            "maxReplicas": self.scaling.max_replicas,
            "message": self.message[:1024],
        }


def choose(view: DeploymentView, plan: Plan) -> Choice | None:
    """None without spec.autoscaling."""
    wanted = view.spec.autoscaling
    if wanted is None:
        return None
    most, limit = _room(view, plan, wanted)
    problem = keda_problem(view)
    if most == 1:
        return Choice(Scaling("None", most), wanted.min_replicas, limit)
    if not problem:
        notes = _notes(limit, _keda_says(view))
        return Choice(Scaling("KEDA", most), wanted.min_replicas, notes)
    return _without_keda(view, wanted, Scaling("HPA", most), (limit, problem))


def _without_keda(
    view: DeploymentView, wanted: AutoscalingSpec, scaling: Scaling, told: tuple[str, str]
) -> Choice:
    limit, problem = told
    others = [each.metric for each in wanted.targets if each.metric not in HPA_METRICS]
    if len(others) == len(wanted.targets):
        scaling = Scaling("None", scaling.max_replicas)
    # Not installed is no news where nothing asks for it; installed and of no use is.
    notes = _notes(limit, problem if view.world.keda is not None else "")
    missing = _no_adapter(view)
    if others:
        text = f"spec.autoscaling.targets: {', '.join(others)} needs KEDA. {problem}"
        missing = ("DependencyMissing", text)
    return Choice(scaling, wanted.min_replicas, notes, missing)


def keda_problem(view: DeploymentView) -> str:
    """Why KEDA cannot be used, with the way out; "" where it can."""
    served = view.world.keda
    if served is None:
        return f"KEDA is not installed; install it: {INSTALL}"
    if KEDA_API.rpartition("/")[2] not in served:
        versions = ", ".join(f"keda.sh/{each}" for each in served) or "no version"
        return (
            f"The KEDA that is installed serves {versions} and not {KEDA_API}; install KEDA 2: "
            f"{INSTALL}"
        )
    if not view.world.settings.prometheus_address:
        return (
            "KEDA has no Prometheus to ask: set the chart's value autoscaling.prometheusAddress "
            "(llama-operator run --prometheus-address)"
        )
    return ""


def _notes(*found: str) -> str:
    return ". ".join(each for each in found if each)


def _keda_says(view: DeploymentView) -> str:
    """What KEDA itself has found wrong; by its reason, since its messages may move."""
    ready = _condition_of(view, "KEDA", "Ready")
    if ready.get("status") != "False":
        return ""
    why = f"kubectl describe scaledobject {view.owner.name} -n {view.owner.namespace}"
    return f"KEDA says {ready.get('reason', 'not ready')}: {why}"


def _no_adapter(view: DeploymentView) -> tuple[str, str] | None:
    active = _condition_of(view, "HPA", "ScalingActive")
    if active.get("status") != "False" or _NO_ADAPTER not in active.get("message", ""):
        return None
    names = ", ".join(
        HPA_METRICS[each.metric]
        for each in (view.spec.autoscaling.targets if view.spec.autoscaling else ())
        if each.metric in HPA_METRICS
    )
    return "DependencyMissing", (
        f"spec.autoscaling: no metrics adapter answers for {names}. {keda_problem(view)}; or "
        "install prometheus-adapter with the rules of docs/autoscaling.md"
    )


def _condition_of(view: DeploymentView, scaler: str, kind: str) -> Object:
    child = view.children.get((_KINDS[scaler], view.owner.name), {})
    return dict(find(child.get("status", {}).get("conditions") or (), kind) or {})


# -- how many there may be ------------------------------------------------------------------------


def _room(view: DeploymentView, plan: Plan, wanted: AutoscalingSpec) -> tuple[int, str]:
    """The most replicas to ask for, and why they are fewer, or will wait.

    A quota is a wall; that nodes are too few is only said, since an autoscaler may bring more.
    """
    most, resource, said = wanted.max_replicas, gpu_resource(view.spec), ""
    if not plan.gpus or not resource:
        return most, ""
    asked = f"spec.autoscaling.maxReplicas: {most} replicas of {plan.gpus} {resource} need "
    asked += str(most * plan.gpus)
    for fitting, why, fix in _walls(view, plan):
        if fitting < most:
            most = max(1, fitting)
            said = f"{asked}; {why}, so at most {most} are asked for: {fix} or lower maxReplicas"
    if said:
        return most, said
    there = sum(reach.gpu_counts(view, plan))
    if there and most * plan.gpus > there:
        return most, (
            f"{asked}; the nodes that are there have {there}, so more than "
            f"{there // plan.gpus} replicas wait for nodes"
        )
    return most, ""


def _walls(view: DeploymentView, plan: Plan) -> Iterator[tuple[int, str, str]]:
    """What more replicas cannot get past: how many fit, why, and what to change."""
    for name, hard in _quotas(view):
        yield hard // plan.gpus, f"ResourceQuota {name} allows {hard}", "raise the quota"
    fitting, why = reach.wall(view, plan)
    if fitting:
        yield fitting, why, "use a ReadWriteMany claim"


def _quotas(view: DeploymentView) -> Iterator[tuple[str, int]]:
    name = quota_of(view.spec)
    for quota in view.world.quotas:
        spec, meta = quota.get("spec", {}), quota["metadata"]
        scoped = spec.get("scopes") or spec.get("scopeSelector")
        hard = spec.get("hard", {}).get(name)
        if meta.get("namespace") == view.owner.namespace and hard is not None and not scoped:
            try:
                yield meta["name"], int(parse(hard))
            except LlamaError:
                continue


# -- what is worth a look ---------------------------------------------------------------------


def judged_anew(_event: str, old: Object | None, new: Object | None) -> bool:
    """False for a scaler whose measurements alone have changed: they do so every 15 seconds."""
    if old is None or new is None:
        return True
    return _judgement(old) != _judgement(new)


def _judgement(obj: Object) -> object:
    whole = unpacked(obj)
    conditions = whole.get("status", {}).get("conditions") or ()
    names = ("type", "status", "reason")
    judged = [
        (*(each.get(name) for name in names), _NO_ADAPTER in each.get("message", ""))
        for each in conditions
    ]
    return whole["spec"], whole["metadata"].get("annotations"), judged


def limits(_event: str, old: Object | None, new: Object | None) -> bool:
    """False for a quota of which only the use has changed."""
    return old is None or new is None or old["spec"] != new["spec"]


# -- what is no longer wanted ---------------------------------------------------------------------


def rivals(view: DeploymentView, desired: list[Object]) -> list[Action]:
    """Deletions of the other scaler: KEDA takes no target that somebody else scales."""
    return _unwanted(view, desired, lambda obj: obj["kind"] in _KINDS.values())


def spare(view: DeploymentView, desired: list[Object]) -> list[Action]:
    """Deletions of an activator that is no longer wanted."""
    return _unwanted(view, desired, _of_activator)


def _of_activator(obj: Object) -> bool:
    return bool(obj["metadata"].get("labels", {}).get(labels.COMPONENT) == labels.ACTIVATOR)


def _unwanted(
    view: DeploymentView, desired: list[Object], which: Callable[[Object], bool]
) -> list[Action]:
    wanted = {(obj["kind"], obj["metadata"]["name"]) for obj in desired}
    return [delete(obj) for key, obj in view.children.items() if key not in wanted and which(obj)]

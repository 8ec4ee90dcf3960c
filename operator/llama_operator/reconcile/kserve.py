"""Servers behind KServe: what they need in a cluster, and what KServe says of them. Pure."""

from __future__ import annotations

from llama_operator.api.conditions import find
from llama_operator.api.template import INFERENCE, is_group, kind_of
from llama_operator.reconcile import resources
from llama_operator.reconcile.course import Course
from llama_operator.reconcile.lacking import lacking
from llama_operator.reconcile.snapshot import DeploymentView, Object

INSTALL = (
    "helm install kserve-crd oci://ghcr.io/kserve/charts/kserve-crd --version v0.17.0 && "
    "helm install kserve oci://ghcr.io/kserve/charts/kserve-resources --version v0.17.0 "
    "--namespace kserve --create-namespace"
)
# KServe labels pods with "isvc.", the name, and "-predictor".
LONGEST_NAME = 48
_LIMIT = 1024


def problem(view: DeploymentView, course: Course) -> tuple[str, str] | None:
    """A reason of `Degraded`, where KServe is to serve and cannot; None where it can."""
    if _asks_for_groups(view, course):
        return "AdmissionRefused", (
            "spec.backend: kserve serves on one node, and the plan is for several; set "
            "spec.sizing.nodes to 1, or spec.backend to native"
        )
    if kind_of(course.template) != INFERENCE:
        return None
    if len(view.owner.name) > LONGEST_NAME:
        text = f"metadata.name: at most {LONGEST_NAME} characters for servers behind KServe"
        return "AdmissionRefused", f"{text}; make one with a shorter name, or use backend native"
    missing = _missing(view)
    return ("DependencyMissing", missing) if missing else None


def _asks_for_groups(view: DeploymentView, course: Course) -> bool:
    """Whether the spec itself does: to go back to a revision of several nodes is another matter."""
    own = course.plan is None and not view.spec.rollout.undo_to
    return own and view.spec.backend == "kserve" and is_group(course.template)


def _missing(view: DeploymentView) -> str:
    why = lacking(view.world.kserve, resources.INFERENCES, INSTALL, "KServe")
    return f"spec.backend is kserve, and {why}" if why else ""


# -- what KServe says -----------------------------------------------------------------------------


def told(view: DeploymentView) -> Object:
    """`status.kserve`."""
    said: Object = {"ready": str(_condition(view, "Ready").get("status", "Unknown"))}
    said["traffic"] = _traffic(view)
    note = waits(view) or _no_split(view)
    return {**said, "message": note[:_LIMIT]}


def endpoint(view: DeploymentView) -> Object:
    """What `status.endpoint` has beside the Service: the address that KServe gives."""
    url = str(_live(view).get("url") or "").rstrip("/")
    return {"externalURL": f"{url}/v1"} if url else {}


def waits(view: DeploymentView) -> str:
    """What keeps KServe from being ready; "" where nothing does, or it is not asked."""
    if (INFERENCE, view.owner.name) not in view.children:
        return ""
    if _condition(view, "Ready").get("status") == "True":
        return ""
    unmet = [_words(_condition(view, kind)) for kind in ("PredictorReady", "IngressReady")]
    why = next((each for each in unmet if each), "it has not looked at the InferenceService yet")
    return f"Waits for KServe: {why}"


def _words(condition: Object) -> str:
    if not condition or condition.get("status") == "True":
        return ""
    told = " - ".join(filter(None, (condition.get("reason"), condition.get("message"))))
    return f"{condition['type']} is {condition.get('status')}" + (f" ({told})" if told else "")


def _traffic(view: DeploymentView) -> list[Object]:
    predictor = _live(view).get("components", {}).get("predictor", {})
    return [
        {"revision": str(each.get("revisionName", "")), "percent": int(each.get("percent") or 0)}
        for each in predictor.get("traffic") or ()
    ]


def _no_split(view: DeploymentView) -> str:
    canary = view.spec.rollout.canary_percent
    if not 0 < canary < 100 or _traffic(view):
        return ""
    return (
        f"spec.rollout.canaryPercent: KServe was told {canary} and reports no split of the traffic; "
        "in its Standard mode it replaces servers by spec.rollout.strategy alone"
    )


def _condition(view: DeploymentView, kind: str) -> Object:
    return dict(find(_live(view).get("conditions") or (), kind) or {})


def _live(view: DeploymentView) -> Object:
    return dict(view.children.get((INFERENCE, view.owner.name), {}).get("status") or {})

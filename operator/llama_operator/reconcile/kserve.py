"""Servers behind KServe: what they need in a cluster, and what KServe says of them. Pure."""

from __future__ import annotations

from llama_operator.api.conditions import find
from llama_operator.api.template import INFERENCE, LLM_INFERENCE, OF_KSERVE, is_group, kind_of
from llama_operator.reconcile import resources, sets
from llama_operator.reconcile.course import Course
from llama_operator.reconcile.lacking import lacking
from llama_operator.reconcile.snapshot import DeploymentView, Object

INSTALL = (
    "helm install kserve-crd oci://ghcr.io/kserve/charts/kserve-crd --version v0.17.0 && "
    "helm install kserve oci://ghcr.io/kserve/charts/kserve-resources --version v0.17.0 "
    "--namespace kserve --create-namespace"
)
_CHARTS, _CHART_VERSION = "oci://ghcr.io/kserve/charts", "--version v0.20.0"
INSTALL_LLM = (
    f"helm install kserve-llmisvc-crd {_CHARTS}/kserve-llmisvc-crd {_CHART_VERSION} && "
    f"helm install kserve-runtime-configs {_CHARTS}/kserve-runtime-configs {_CHART_VERSION} "
    "--namespace kserve --create-namespace --set kserve.llmisvcConfigs.enabled=true && "
    f"helm install kserve-llmisvc-resources {_CHARTS}/kserve-llmisvc-resources {_CHART_VERSION} "
    "--namespace kserve"
)
# What both of KServe's controllers need comes with the first one.
SHARED = " --set kserve.createSharedResources=false"
# KServe labels pods of an InferenceService with "isvc.", the name, and "-predictor".
LONGEST_NAME = 48
# What the status has room for.
_LIMIT, _SHARES = 1024, 32


def problem(view: DeploymentView, course: Course) -> tuple[str, str] | None:
    """A reason of `Degraded`, where KServe is to serve and cannot; None where it can."""
    if _asks_for_groups(view, course):
        return "AdmissionRefused", (
            "spec.backend: kserve serves on one node, and the plan is for several; set "
            "spec.sizing.nodes to 1, or spec.backend to native"
        )
    kind = kind_of(course.template)
    if kind not in OF_KSERVE:
        return None
    if kind == INFERENCE and len(view.owner.name) > LONGEST_NAME:
        text = f"metadata.name: at most {LONGEST_NAME} characters for servers behind KServe"
        return "AdmissionRefused", f"{text}; make one with a shorter name, or use backend native"
    missing = _missing(view, kind)
    return ("DependencyMissing", missing) if missing else None


def _asks_for_groups(view: DeploymentView, course: Course) -> bool:
    """Whether the spec itself does: to go back to a revision of several nodes is another matter."""
    own = course.plan is None and not view.spec.rollout.undo_to
    return own and view.spec.backend == "kserve" and is_group(course.template)


def _missing(view: DeploymentView, kind: str) -> str:
    world = view.world
    if kind == LLM_INFERENCE:
        command = INSTALL_LLM + (SHARED if world.kserve else "")
        why = lacking(world.llm_kserve, resources.LLM_INFERENCES, command)
        return f"spec.kserve.resource is {kind}, and {why}" if why else ""
    why = lacking(world.kserve, resources.INFERENCES, INSTALL, "KServe")
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
    kind = _kind(view)
    if not kind:
        return ""
    if _condition(view, "Ready").get("status") == "True":
        return _over_tls(view)
    unmet = [_words(_condition(view, each)) for each in _PARTS[kind]]
    why = next((each for each in unmet if each), f"it has not looked at the {kind} yet")
    return f"Waits for KServe: {why}"


# Of its conditions those that say why it is not ready, the first cause first.
_PARTS = {
    INFERENCE: ("PredictorReady", "IngressReady"),
    LLM_INFERENCE: (
        *("PresetsCombined", "MainWorkloadReady", "WorkloadsReady"),
        *("HTTPRoutesReady", "GatewaysReady", "RouterReady"),
    ),
}


def _over_tls(view: DeploymentView) -> str:
    """Why KServe's gateway does not reach servers of which KServe says that they speak TLS."""
    entry = view.entry or {}
    if not any(
        each.get("appProtocol") == "https" for each in entry.get("spec", {}).get("ports", ())
    ):
        return ""
    return (
        f"KServe's gateway would speak TLS to the servers (Service {entry['metadata']['name']}), which "
        "speak plain HTTP; with KServe 0.19 or newer set enableLLMInferenceServiceTLS to false in key "
        "ingress of its ConfigMap inferenceservice-config, else spec.kserve.resource to InferenceService"
    )


def _words(condition: Object) -> str:
    if not condition or condition.get("status") == "True":
        return ""
    told = " - ".join(filter(None, (condition.get("reason"), condition.get("message"))))
    return f"{condition['type']} is {condition.get('status')}" + (f" ({told})" if told else "")


def _traffic(view: DeploymentView) -> list[Object]:
    live = _live(view)
    if _kind(view) == LLM_INFERENCE:
        return _of_group(live.get("router", {}).get("group", {}).get("members") or [])[:_SHARES]
    predictor = live.get("components", {}).get("predictor", {})
    return [
        {"revision": str(each.get("revisionName", "")), "percent": int(each.get("percent") or 0)}
        for each in predictor.get("traffic") or ()
    ]


def _of_group(members: list[Object]) -> list[Object]:
    """Shares of LLMInferenceServices that somebody has put into one group of KServe's."""
    whole = sum(int(each.get("weight") or 0) for each in members) or 1
    return [
        {"revision": str(each["name"]), "percent": int(each.get("weight") or 0) * 100 // whole}
        for each in members
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
    return dict(view.children.get((_kind(view), view.owner.name), {}).get("status") or {})


def _kind(view: DeploymentView) -> str:
    """Of which of its kinds that is which makes our pods; "" where none does."""
    there = sets.found(view.children, view.owner.name)
    kind = str(there[0]["kind"]) if there else ""
    return kind if kind in OF_KSERVE else ""

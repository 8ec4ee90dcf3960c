"""A server behind KServe: one InferenceService whose predictor is our own pod.

KServe makes a Deployment `<name>-predictor` of it, a Service of that, and a way in from outside. All
labels and annotations of the InferenceService land on its pods as well, those of the predictor over
them: what we keep on the InferenceService must not reach a pod, or each note would restart servers.
"""

from __future__ import annotations

from llama_operator.api import labels
from llama_operator.api.quantity import format_bytes, format_cpu, parse
from llama_operator.api.template import INFERENCE, KSERVE_CONTAINER
from llama_operator.render import group, pod, starting
from llama_operator.render.inputs import Object, Replacing, Serving
from llama_operator.render.meta import stamped

API_VERSION = "serving.kserve.io/v1beta1"
# Until KServe 0.15 this was RawDeployment, which later ones rewrite.
MODE, STANDARD = "serving.kserve.io/deploymentMode", "Standard"
# Nobody but us sets the replicas: KServe takes minReplicas for the number, and makes no autoscaler.
SCALER, NOBODY = "serving.kserve.io/autoscalerClass", "none"
# Where a limit is missing, KServe sets one of 1 CPU and 2 Gi, which no server would live with.
ROOM = 4


def template(serving: Serving) -> Object:
    """The template of the pods, with its stamp."""
    whole = pod.template(serving)
    (engine,) = whole["spec"]["containers"]
    engine = {**engine, "name": KSERVE_CONTAINER, "resources": _limited(engine["resources"])}
    engine = starting.without_variable(engine)
    return stamped({**whole, "spec": {**whole["spec"], "containers": [engine]}})


def _limited(asked: Object) -> Object:
    """With limits of CPU and memory that no server reaches, but for those of the user."""
    requests = asked.get("requests", {})
    wide = {name: _times(name, requests[name]) for name in ("cpu", "memory") if name in requests}
    return {**asked, "limits": {**wide, **asked.get("limits", {})}}


def _times(name: str, amount: str | int) -> str:
    number = parse(amount) * ROOM
    return format_cpu(int(number * 1000)) if name == "cpu" else format_bytes(int(number))


def inference_service(serving: Serving, template: Object, how: Replacing) -> Object:
    """The InferenceService."""
    meta = group.set_metadata(serving, how)
    ours = {MODE: STANDARD, SCALER: NOBODY}
    return {
        "apiVersion": API_VERSION,
        "kind": INFERENCE,
        "metadata": {**meta, "annotations": {**meta.get("annotations", {}), **ours}},
        "spec": {"predictor": _predictor(serving, template, how)},
    }


def _predictor(serving: Serving, template: Object, how: Replacing) -> Object:
    count, canary = serving.spec.replicas, serving.spec.rollout.canary_percent
    return {
        **template["spec"],
        "labels": template["metadata"]["labels"],
        # The record of a rollout is of the InferenceService alone.
        "annotations": {**template["metadata"]["annotations"], labels.ROLLOUT: ""},
        "minReplicas": count,
        # To KServe 0 would mean: not set.
        "maxReplicas": max(1, count),
        "deploymentStrategy": {
            "type": "RollingUpdate",
            "rollingUpdate": {"maxSurge": how.surge, "maxUnavailable": how.unavailable},
        },
        **({"canaryTrafficPercent": canary} if canary else {}),
    }

"""What KServe makes of an InferenceService in Standard mode, and what it says of it: pure.

Read off KServe 0.20 (components/predictor.go, reconcilers/deployment and ingress, the propagation of
a Deployment's conditions in inference_service_status.go), as far as an operator meets it.
"""

from __future__ import annotations

import copy
from typing import Any

Object = dict[str, Any]
SCALER, NOBODY = "serving.kserve.io/autoscalerClass", "none"
MODE = "serving.kserve.io/deploymentMode"
CONTAINER = "kserve-container"
FINALIZER = "inferenceservice.finalizers"
# What its ConfigMap says where a container says nothing.
DEFAULTS = {"cpu": "1", "memory": "2Gi"}
DOMAIN = "example.com"
# Fields of a predictor that are none of a pod's.
_EXTENSIONS = (
    *("annotations", "labels", "minReplicas", "maxReplicas", "deploymentStrategy"),
    "canaryTrafficPercent",
)


def defaulted(service: Object) -> Object:
    """As its webhook lets it in."""
    made = copy.deepcopy(service)
    containers = made["spec"]["predictor"]["containers"]
    if len(containers) == 1:
        containers[0]["name"] = CONTAINER
    for part in ("requests", "limits"):
        box = containers[0].setdefault("resources", {})
        box[part] = {**DEFAULTS, **box.get(part, {})}
    if made["metadata"].get("annotations", {}).get(MODE) == "RawDeployment":
        made["metadata"]["annotations"][MODE] = "Standard"
    return made


def predictor_name(service: Object) -> str:
    """Name of the Deployment, and of its Service."""
    return f"{service['metadata']['name']}-predictor"


def deployment(service: Object) -> Object:
    """The Deployment of the predictor; labels and annotations are those of its pods as well."""
    meta, predictor = service["metadata"], defaulted(service)["spec"]["predictor"]
    name = predictor_name(service)
    app = {"app": f"isvc.{name}"}
    both: Object = {
        "labels": {
            **meta.get("labels", {}),
            **predictor.get("labels", {}),
            "serving.kserve.io/inferenceservice": meta["name"],
            "component": "predictor",
            **app,
        },
        "annotations": {**meta.get("annotations", {}), **predictor.get("annotations", {})},
    }
    pod = {key: value for key, value in predictor.items() if key not in _EXTENSIONS}
    pod["containers"][0]["env"] = [
        *pod["containers"][0].get("env", ()),
        {"name": "INFERENCE_SERVICE_NAME", "value": meta["name"]},
    ]
    spec: Object = {"selector": {"matchLabels": app}, "template": {"metadata": both, "spec": pod}}
    if "deploymentStrategy" in predictor:
        spec["strategy"] = predictor["deploymentStrategy"]
    if both["annotations"].get(SCALER) == NOBODY and "minReplicas" in predictor:
        spec["replicas"] = predictor["minReplicas"]
    owner = {
        "apiVersion": service["apiVersion"], "kind": service["kind"], "name": meta["name"],
        "uid": meta["uid"], "controller": True, "blockOwnerDeletion": True,
    }  # fmt: skip
    where = {"name": name, "namespace": meta.get("namespace", ""), "ownerReferences": [owner]}
    kind = {"apiVersion": "apps/v1", "kind": "Deployment"}
    return {**kind, "metadata": {**where, **copy.deepcopy(both)}, "spec": spec}


def status(service: Object, made: Object, ingress: tuple[str, str] = ("", "")) -> Object:
    """What it says; `ingress` is why there is no way in: a reason and a message."""
    predictor = _predictor_ready(made)
    entry = _entry(predictor, ingress)
    worst = next((each for each in (predictor, entry) if each["status"] != "True"), None)
    ready = {**(worst or predictor), "type": "Ready"}
    meta = service["metadata"]
    found: Object = {
        # That of the Deployment, whatever generation the InferenceService has.
        "observedGeneration": made.get("status", {}).get("observedGeneration", 0),
        "conditions": [entry, predictor, ready],
        "deploymentMode": "Standard",
        "components": {"predictor": {}},
    }
    if entry["status"] == "True":
        host = f"{meta['name']}-{meta.get('namespace', '')}.{DOMAIN}"
        inside = f"{predictor_name(service)}.{meta.get('namespace', '')}.svc.cluster.local"
        found |= {"url": f"http://{host}", "address": {"url": f"http://{inside}"}}
        found["components"] = {"predictor": {"url": f"http://{inside}"}}
    return found


def _predictor_ready(made: Object) -> Object:
    """As KServe reads a Deployment's conditions: the last one that has something to say counts."""
    said = {each["type"]: each for each in made.get("status", {}).get("conditions", ())}
    found = {"type": "PredictorReady", "status": "False"}
    available, progressing = said.get("Available", {}), said.get("Progressing", {})
    if available.get("status") == "True":
        found["status"] = "True"
    if progressing.get("status") == "False" and progressing.get("message"):
        found = _from(progressing, "False")
    elif progressing.get("status") == "True":
        complete = progressing.get("reason") == "NewReplicaSetAvailable"
        found = _from(progressing, "True" if complete else "Unknown")
    if available.get("status") == "False":
        found = _from(available, "False")
    failed = said.get("ReplicaFailure", {})
    return _from(failed, "False") if failed.get("status") == "True" else found


def _from(condition: Object, status: str) -> Object:
    told = {key: condition[key] for key in ("reason", "message") if condition.get(key)}
    return {"type": "PredictorReady", "status": status, **told}


def _entry(predictor: Object, ingress: tuple[str, str]) -> Object:
    if predictor["status"] != "True":
        why = "Predictor ingress not created"
        return {"type": "IngressReady", "status": "False", "reason": why}
    reason, message = ingress
    if reason:
        return {"type": "IngressReady", "status": "False", "reason": reason, "message": message}
    return {"type": "IngressReady", "status": "True"}

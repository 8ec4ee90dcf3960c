"""What KServe makes of an LLMInferenceService of one pod, and what it says of it: pure.

Read off KServe 0.20 (pkg/controller/v1alpha2/llmisvc and the preset kserve-config-llm-template). It is
held against the real controller by tests/integration/test_kserve_llm.py.
"""

from __future__ import annotations

import copy
from typing import Any

from llama_operator.api import gotemplate
from tests.support.kserve.merging import merged

Object = dict[str, Any]
FINALIZER = "serving.kserve.io/llmisvc-finalizer"
BY_HEADER = "serving.kserve.io/model-based-routing-enabled"
# Of metadata, only what begins so reaches Deployments and pods.
_PASSED = ("kueue.x-k8s.io", "prometheus.io", "k8s.v1.cni.cncf.io")


def preset(name: str) -> Object:
    """The pod of KServe's own, without the script that is its command."""
    check = {"path": "/health", "port": 8000, "scheme": "HTTP"}
    probe = {"httpGet": check, "periodSeconds": 10, "timeoutSeconds": 1}
    main = {
        "name": "main",
        "image": "ghcr.io/llm-d/llm-d-cuda:v0.8.0",
        "imagePullPolicy": "IfNotPresent",
        "command": ["/bin/bash", "-c", "vllm serve /mnt/models", "--"],
        "ports": [{"containerPort": 8000, "protocol": "TCP"}],
        "env": [
            {"name": "HOME", "value": "/home"},
            {"name": "VLLM_LOGGING_LEVEL", "value": "INFO"},
            {"name": "HF_HUB_CACHE", "value": "/models"},
        ],
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": False,
            "runAsNonRoot": True,
            "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "lifecycle": {"preStop": {"exec": {"command": ["/bin/sleep", "15"]}}},
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "livenessProbe": {**probe, "failureThreshold": 10},
        "readinessProbe": {**probe, "periodSeconds": 1, "failureThreshold": 2},
        "startupProbe": {"httpGet": check, "failureThreshold": 60, "periodSeconds": 10},
        "volumeMounts": [
            {"mountPath": "/home", "name": "home"},
            {"mountPath": "/tmp", "name": "tmp-dir"},
            {"mountPath": "/dev/shm", "name": "dshm"},
            {"mountPath": "/models", "name": "model-cache"},
            {"mountPath": "/var/run/kserve/tls", "name": "tls-certs", "readOnly": True},
        ],
    }
    return {
        "containers": [main],
        "terminationGracePeriodSeconds": 60,
        "volumes": [
            {"name": "home", "emptyDir": {}},
            {"name": "dshm", "emptyDir": {"medium": "Memory", "sizeLimit": "1Gi"}},
            {"name": "model-cache", "emptyDir": {}},
            {"name": "tmp-dir", "emptyDir": {}},
            {"name": "tls-certs", "secret": {"secretName": f"{name}-kserve-self-signed-certs"}},
        ],
    }


def deployment(service: Object) -> Object:
    """The Deployment. One map is its labels, its selector, and the labels of its pods."""
    meta, spec = service["metadata"], gotemplate.executed(service["spec"])
    labels = {
        "app.kubernetes.io/component": "llminferenceservice-workload",
        "app.kubernetes.io/name": meta["name"],
        "app.kubernetes.io/part-of": "llminferenceservice",
        "kserve.io/component": "workload",
        "llm-d.ai/role": "both",
        **_passed(meta.get("labels", {})),
        **spec.get("labels", {}),
    }
    told = {key: text for key, text in spec.get("annotations", {}).items() if key != BY_HEADER}
    pod = merged(preset(meta["name"]), spec["template"])
    annotations = {**_passed(meta.get("annotations", {})), **told}
    owner = {
        "apiVersion": service["apiVersion"], "kind": service["kind"], "name": meta["name"],
        "uid": meta["uid"], "controller": True, "blockOwnerDeletion": True,
    }  # fmt: skip
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": f"{meta['name']}-kserve",
            "namespace": meta.get("namespace", ""),
            "labels": copy.deepcopy(labels),
            "ownerReferences": [owner],
        },
        "spec": {
            "replicas": spec.get("replicas", 1),
            "selector": {"matchLabels": copy.deepcopy(labels)},
            "template": {"metadata": {"labels": labels, "annotations": annotations}, "spec": pod},
        },
    }


def _passed(told: Object) -> Object:
    return {key: text for key, text in told.items() if key.startswith(_PASSED)}


def status(service: Object, made: Object, ingress: tuple[str, str] = ("", "")) -> Object:
    """What it says; `ingress` is why there is no way in: a reason and a message."""
    meta, reason, message = service["metadata"], *ingress
    main = _workload(made)
    route = _condition("HTTPRoutesReady", "False" if reason else "True", reason, message)
    router = {**route, "type": "RouterReady"}
    parts = [main, {**main, "type": "WorkloadsReady"}, route, router]
    worst = next((each for each in parts if each["status"] != "True"), main)
    found: Object = {
        "observedGeneration": meta.get("generation", 0),
        "conditions": [_condition("PresetsCombined", "True"), *parts, {**worst, "type": "Ready"}],
    }
    if not reason:
        found["url"] = f"http://gateway.example.com/{meta.get('namespace', '')}/{meta['name']}"
    return found


def _workload(made: Object) -> Object:
    """As KServe reads a Deployment: whether it is available."""
    said = {each["type"]: each for each in made.get("status", {}).get("conditions", ())}
    available = said.get("Available")
    if available is None:
        return _condition("MainWorkloadReady", "False", "Progressing")
    if available["status"] == "True":
        return _condition("MainWorkloadReady", "True")
    told = available.get("reason", ""), available.get("message", "")
    return _condition("MainWorkloadReady", "False", *told)


def _condition(kind: str, status: str, reason: str = "", message: str = "") -> Object:
    told = {"reason": reason, "message": message}
    return {"type": kind, "status": status, **{k: text for k, text in told.items() if text}}

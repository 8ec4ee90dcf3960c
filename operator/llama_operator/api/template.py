"""Templates of servers in one form, whether one pod serves or a group of them.

That of a group is that of its first rank, with the one of all others beside it, and how many pods it
has: so what reads `metadata` and `spec` of a template reads those of the pod that takes requests.
Those of servers of KServe are ordinary ones whose container has the name that KServe asks for.
"""

from __future__ import annotations

from typing import Any, Final

from llama_operator.api import gotemplate

Object = dict[str, Any]

SERVER: Final = "Deployment"
GROUP_SET: Final = "LeaderWorkerSet"
INFERENCE: Final = "InferenceService"
LLM_INFERENCE: Final = "LLMInferenceService"
# Those of KServe, which makes a Deployment of each.
OF_KSERVE: Final = (INFERENCE, LLM_INFERENCE)
# What serves in an InferenceService; KServe looks for this name.
KSERVE_CONTAINER: Final = "kserve-container"
# The same in an LLMInferenceService.
LLM_CONTAINER: Final = "main"
# Beside `metadata` and `spec`.
WORKER: Final = "worker"
SIZE: Final = "size"
# Of a predictor, what is none of a pod's spec.
_EXTENSIONS = (
    *("labels", "annotations", "minReplicas", "maxReplicas", "deploymentStrategy"),
    "canaryTrafficPercent",
)


def is_group(template: Object) -> bool:
    """Whether a template is of several pods."""
    return WORKER in template


def kind_of(template: Object) -> str:
    """The kind of what makes servers of a template."""
    if is_group(template):
        return GROUP_SET
    names = {each.get("name") for each in template.get("spec", {}).get("containers", ())}
    if LLM_CONTAINER in names:
        return LLM_INFERENCE
    return INFERENCE if KSERVE_CONTAINER in names else SERVER


def size_of(template: Object) -> int:
    """Pods of one server."""
    return int(template.get(SIZE, 1))


def server_template(server: Object | None) -> Object:
    """The template that makes pods of what is in the cluster; empty where there is none."""
    spec = (server or {}).get("spec", {})
    if "predictor" in spec:
        return _of_predictor(spec["predictor"])
    if "model" in spec:
        return _of_llm(spec)
    parts = spec.get("leaderWorkerTemplate")
    if parts is None:
        return dict(spec.get("template") or {})
    leader = parts.get("leaderTemplate") or {}
    return {**leader, WORKER: parts.get("workerTemplate") or {}, SIZE: parts.get("size", 1)}


def _of_predictor(predictor: Object) -> Object:
    """Metadata and spec of the pods of an InferenceService, which has them in one."""
    meta = {name: predictor[name] for name in ("labels", "annotations") if name in predictor}
    spec = {name: value for name, value in predictor.items() if name not in _EXTENSIONS}
    return {"metadata": meta, "spec": spec}


def _of_llm(spec: Object) -> Object:
    """Metadata and spec of the pods of an LLMInferenceService, as KServe will have read them."""
    meta = {name: spec[name] for name in ("labels", "annotations") if name in spec}
    return dict(gotemplate.executed({"metadata": meta, "spec": spec.get("template") or {}}))


def replicas_of(server: Object) -> int:
    """How many servers an object of KServe asks for."""
    spec = server["spec"]
    asked = spec["predictor"].get("minReplicas", 1) if "predictor" in spec else spec.get("replicas")
    return 1 if asked is None else int(asked)


def made_by_kserve(kind: str, name: str) -> str:
    """Name of the Deployment that KServe makes of its object."""
    return f"{name}-kserve" if kind == LLM_INFERENCE else f"{name}-predictor"

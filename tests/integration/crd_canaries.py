"""Canaries that the API server must refuse, and those that it must accept."""

from __future__ import annotations

from typing import Any

from tests.integration.crd_cases import Object, Refusal, deployment
from tests.integration.crd_routes import AWARE, INGRESS, ROUTE

PORT = (
    "spec.endpoint.port: it is of the Service of all servers, and cannot be tried by one; change it "
    "on its own, with spec.rollout.canaryPercent 0"
)


def tried(percent: int = 20, **spec: Any) -> Object:
    return deployment(**{"endpoint": ROUTE, "rollout": {"canaryPercent": percent}, **spec})


def _refused(name: str, obj: Object, field: str, said: str) -> Refusal:
    return Refusal(f"canary-{name}", obj, f"spec.{field}", f"spec.{field}: {said}")


_NOBODY = (
    "it is a Gateway, or KServe, that shares requests out; set spec.endpoint.httpRoute, or "
    "spec.backend to kserve, or remove it"
)
RULES = [
    _refused("without-route", tried(endpoint={}), "rollout.canaryPercent", _NOBODY),
    _refused("of-an-ingress", tried(endpoint=INGRESS), "rollout.canaryPercent", _NOBODY),
    _refused("of-all", tried(100, endpoint={}), "rollout.canaryPercent", _NOBODY),
    _refused(
        "of-a-pool",
        tried(endpoint={**ROUTE, **AWARE}),
        "endpoint.routing",
        "an InferencePool has no shares for a canary; use None, or remove "
        "spec.rollout.canaryPercent",
    ),
    _refused(
        "on-two-nodes",
        tried(sizing={"nodes": 2}),
        "sizing.nodes",
        "a canary is one pod beside servers of one pod; use 1, or remove spec.rollout.canaryPercent",
    ),
    _refused(
        "of-one-pod",
        tried(storage={"accessModes": ["ReadWriteOncePod"]}),
        "storage.accessModes",
        "ReadWriteOncePod lets one pod mount the weights, and a canary is a second one; use "
        "ReadWriteOnce or ReadWriteMany, or remove spec.rollout.canaryPercent",
    ),
    _refused(
        "to-zero",
        tried(autoscaling={"minReplicas": 0}),
        "autoscaling.minReplicas",
        "a canary is tried beside servers that answer; use 1, or remove spec.rollout.canaryPercent",
    ),
]
ACCEPTED = {
    "canary": tried(1, sizing={"nodes": 1}, autoscaling={"minReplicas": 1}, replicas=0),
    "canary-for-all": tried(100),
    "canary-of-none": tried(0, endpoint=INGRESS),
    "canary-of-transformers": tried(engine={"type": "transformers"}),
    "canary-of-kserve": tried(backend="kserve", endpoint={}),
}

"""Rules of admission on a canary: a part of the requests for one server of a new revision.

KServe has its own; these are of the native back end, where a Gateway shares requests out.
"""

from __future__ import annotations

from typing import Final

from llama_operator.api.rule import Rule

_FIELD = ".rollout.canaryPercent"
_NONE = "self.rollout.canaryPercent == 0 || self.backend == 'kserve'"
_REMOVE = "or remove spec.rollout.canaryPercent"

DEPLOYMENT: Final[tuple[Rule, ...]] = (
    Rule(
        "spec",
        f"{_NONE} || has(self.endpoint.httpRoute)",
        "spec.rollout.canaryPercent: it is a Gateway, or KServe, that shares requests out; set "
        "spec.endpoint.httpRoute, or spec.backend to kserve, or remove it",
        _FIELD,
    ),
    Rule(
        "spec",
        f"{_NONE} || self.endpoint.routing != 'PrefixAware'",
        "spec.endpoint.routing: an InferencePool has no shares for a canary; use None, " + _REMOVE,
        ".endpoint.routing",
    ),
    Rule(
        "spec",
        f"{_NONE} || !has(self.sizing.nodes) || self.sizing.nodes <= 1",
        "spec.sizing.nodes: a canary is one pod beside servers of one pod; use 1, " + _REMOVE,
        ".sizing.nodes",
    ),
    Rule(
        "spec",
        f"{_NONE} || !has(self.autoscaling) || self.autoscaling.minReplicas > 0",
        "spec.autoscaling.minReplicas: a canary is tried beside servers that answer; use 1, "
        + _REMOVE,
        ".autoscaling.minReplicas",
    ),
    Rule(
        "spec",
        f"{_NONE} || !has(self.storage) || !has(self.storage.accessModes) "
        "|| self.storage.accessModes != ['ReadWriteOncePod']",
        "spec.storage.accessModes: ReadWriteOncePod lets one pod mount the weights, and a canary is a "
        "second one; use ReadWriteOnce or ReadWriteMany, " + _REMOVE,
        ".storage.accessModes",
    ),
    Rule(
        "spec",
        f"{_NONE} || self.rollout.canaryPercent == 100 "
        "|| self.endpoint.port == oldSelf.endpoint.port",
        "spec.endpoint.port: it is of the Service of all servers, and cannot be tried by one; change "
        "it on its own, with spec.rollout.canaryPercent 0",
        ".endpoint.port",
    ),
)

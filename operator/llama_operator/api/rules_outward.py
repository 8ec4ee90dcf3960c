"""Rules of admission on who makes the servers, and on what leads to them from outside."""

from __future__ import annotations

from typing import Final

from llama_operator.api.rule import Rule

DEPLOYMENT: Final[tuple[Rule, ...]] = (
    Rule(
        "spec",
        "self.backend != 'kserve' || !has(self.autoscaling) || self.autoscaling.minReplicas > 0",
        "spec.autoscaling.minReplicas: 0 needs backend native, which holds requests meanwhile; use "
        "1, or set spec.backend to native",
        ".autoscaling.minReplicas",
    ),
    Rule(
        "spec",
        "self.backend != 'kserve' || !has(self.sizing.nodes) || self.sizing.nodes <= 1",
        "spec.sizing.nodes: backend kserve serves on one node; use 1, or set spec.backend to native",
        ".sizing.nodes",
    ),
    Rule(
        "spec",
        "self.backend != 'kserve' || self.endpoint.routing != 'PrefixAware'",
        "spec.endpoint.routing: KServe has its own scheduler; use None",
        ".endpoint.routing",
    ),
    Rule(
        "spec",
        "self.backend != 'kserve' || self.endpoint.routing == 'PrefixAware' "
        "|| (!has(self.endpoint.httpRoute) && !has(self.endpoint.ingress))",
        "spec.endpoint: KServe makes the way in from outside, under the same name; remove httpRoute and "
        "ingress, or set spec.backend to native",
        ".endpoint",
    ),
    Rule(
        "spec",
        "self.kserve.resource != 'LLMInferenceService' || self.backend == 'kserve'",
        "spec.kserve.resource: LLMInferenceService is one of KServe's; set spec.backend to kserve, or "
        "remove it",
        ".kserve.resource",
    ),
    Rule(
        "spec",
        "self.kserve.resource != 'LLMInferenceService' || self.endpoint.port == 8000 "
        "|| self.endpoint.port < 1024",
        "spec.endpoint.port: KServe sends requests for an LLMInferenceService to port 8000 of its pods; "
        "use 8000, or one below 1024",
        ".endpoint.port",
    ),
    Rule(
        "spec",
        "self.kserve.resource != 'LLMInferenceService' || self.rollout.canaryPercent == 0",
        "spec.rollout.canaryPercent: an LLMInferenceService splits no traffic between revisions; remove "
        "it, or set spec.kserve.resource to InferenceService",
        ".rollout.canaryPercent",
    ),
    Rule(
        "spec.endpoint.httpRoute",
        "has(self.parentRefs) && self.parentRefs.size() > 0",
        "spec.endpoint.httpRoute.parentRefs: name the Gateway that takes the route",
        ".parentRefs",
    ),
    Rule(
        "spec.endpoint.httpRoute.parentRefs",
        "self.all(a, self.exists_one(b, a == b))",
        "spec.endpoint.httpRoute.parentRefs: each once; remove the second of two that are the same",
    ),
    Rule(
        "spec.endpoint.ingress",
        "has(self.host) && self.host != ''",
        "spec.endpoint.ingress.host: name the host that requests are for, such as llama.example.com",
        ".host",
    ),
    Rule(
        "spec.endpoint",
        "!has(self.httpRoute) || !has(self.ingress)",
        "spec.endpoint.ingress: one way in from outside; remove ingress or httpRoute",
        ".ingress",
    ),
    Rule(
        "spec",
        "self.endpoint.routing != 'PrefixAware' || has(self.endpoint.httpRoute)",
        "spec.endpoint.routing: PrefixAware is what a Gateway does; set spec.endpoint.httpRoute, or "
        "use None",
        ".endpoint.routing",
    ),
    Rule(
        "spec",
        "self.endpoint.routing != 'PrefixAware' || !has(self.autoscaling) "
        "|| self.autoscaling.minReplicas > 0",
        "spec.endpoint.routing: an InferencePool holds no requests while there is no replica; set "
        "spec.autoscaling.minReplicas to 1 or more, or use None",
        ".endpoint.routing",
    ),
    Rule(
        "spec",
        "self.endpoint.routing != 'PrefixAware' || self.engine.type != 'transformers'",
        "spec.endpoint.routing: PrefixAware reads metrics of vLLM, which transformers does not have; "
        "use None, or spec.engine.type vllm",
        ".endpoint.routing",
    ),
)

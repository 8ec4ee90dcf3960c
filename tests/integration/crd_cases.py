"""The table of what the API server refuses, apart from the tests that run it.

A refusal is one fault in an object that is otherwise right, so that the one cause that comes back
is the rule under test and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

Object = dict[str, Any]
SIZES = {"tensorParallel": 4, "pipelineParallel": 2}


def deployment(name: str = "a", **spec: Any) -> Object:
    return _object("LlamaDeployment", name, {"model": "llama-3.1-8b-instruct", **spec})


def weights(name: str = "a", **spec: Any) -> Object:
    return _object("LlamaWeights", name, {"model": "llama-3.1-8b-instruct", **spec})


def hugging_face(**source: Any) -> Object:
    return {"source": {"huggingFace": source}}


def _object(kind: str, name: str, spec: Object) -> Object:
    return {
        "apiVersion": "llamactl.dev/v1alpha1",
        "kind": kind,
        "metadata": {"name": name},
        "spec": spec,
    }


@dataclass(frozen=True)
class Refusal:
    id: str
    obj: Object
    field: str
    message: str


NAME = "metadata.name: at most 50 of a-z, 0-9, -; it names a Service and must start with a letter"
MODEL = "spec.model: a catalogue id (llamactl models) or org/repo"
SOURCE = "spec.source: set one of huggingFace, meta, claim; remove the others"
HTTPS = "spec.source.huggingFace.endpoint: a token is only sent over https"
REF = "spec.weightsRef: names existing weights; remove spec.source, spec.storage, spec.retention"
NODES = "spec.sizing.nodes: must divide tensorParallel x pipelineParallel"
COUNT = "spec.gpu.count: must be tensorParallel x pipelineParallel; remove one of the three"
CLASS = (
    "spec.gpu.deviceClassName: GPUs are claimed of a device class or counted as spec.gpu.resourceName, "
    "not both; remove one of the two"
)
ARGS = (
    "spec.engine.args: this flag is set by the operator or opens the server; "
    "use the field named in the docs"
)
ENV = "spec.engine.env: reserved, it would open the server or change its code"
ONE_VALUE = "spec.engine.env: set value or valueFrom; remove the other"
ONE_FROM = "spec.engine.env: valueFrom takes one of secretKeyRef, configMapKeyRef"
KEYS = (
    "spec.podMetadata.{}: keys of llamactl.dev/ and app.kubernetes.io/ are set by the operator; "
    "use another prefix"
)

META_SOURCE = {"meta": {"urlSecretRef": {"name": "u"}}}
BOTH_SOURCES = {"huggingFace": {"repo": "o/r"}, **META_SOURCE}
REFERENCE = {
    "secretKeyRef": {"name": "s", "key": "k"},
    "configMapKeyRef": {"name": "c", "key": "k"},
}


def _env(**entry: Any) -> Object:
    return deployment(engine={"env": [{"name": "A", **entry}]})


def _scaled(*targets: Object) -> Object:
    return deployment(autoscaling={"targets": list(targets)})


ADAPTERS = "spec.adapters: set spec.lora.enabled (one restart), or raise spec.lora.maxAdapters"
ADAPTER_SOURCE = "spec.adapters: source takes one of huggingFace, claim"
ADAPTER_REPO = "spec.adapters: source.huggingFace.repo: name the adapter's repository, org/name"
ADAPTER_HTTPS = "spec.adapters: source.huggingFace.endpoint: a token is only sent over https"
HUB_ADAPTER = {"huggingFace": {"repo": "o/a"}}


def _adapters(*sources: Object, **lora: Any) -> Object:
    listed = [{"name": f"a{number}", "source": each} for number, each in enumerate(sources)]
    return deployment(lora={"enabled": True, **lora}, adapters=listed)


ONLY_VLLM = (
    "spec.engine.type: transformers has no flags of vLLM and computes one request at a time on "
    "whole layers; remove engine.args, engine.enforceEager, maxNumSeqs, maxNumBatchedTokens, "
    "gpuMemoryUtilization, kvCacheDtype and tensorParallel above 1, or use vllm"
)
ONE_NODE = "spec.engine.type: transformers serves one node without adapters; use vllm"


def _by_transformers(engine: Object | None = None, **spec: Any) -> Object:
    return deployment(engine={"type": "transformers", **(engine or {})}, **spec)


def _by_llm(**spec: Any) -> Object:
    return deployment(backend="kserve", kserve={"resource": "LLMInferenceService"}, **spec)


RULES = [
    *(
        Refusal(f"{kind.__name__}-{case}", obj, field, message)
        for kind in (deployment, weights)
        for case, obj, field, message in (
            ("name-digit", kind("7b"), "", NAME),
            ("name-long", kind("a" * 51), "", NAME),
            ("name-dot", kind("a.b"), "", NAME),
            ("model-space", kind(model="llama 3"), "spec.model", MODEL),
            ("model-dots", kind(model="meta-llama/.."), "spec.model", MODEL),
            ("model-inner-dots", kind(model="a..b"), "spec.model", MODEL),
            ("model-two-slashes", kind(model="a/b/c"), "spec.model", MODEL),
            ("model-absolute", kind(model="/models/x"), "spec.model", MODEL),
            ("two-sources", kind(source=BOTH_SOURCES), "spec.source", SOURCE),
            (
                "meta-and-claim",
                kind(source={**META_SOURCE, "claim": {"name": "c"}}),
                "spec.source",
                SOURCE,
            ),
            (
                "token-over-http",
                kind(**hugging_face(endpoint="http://hub", tokenSecretRef={"name": "t"})),
                "spec.source.huggingFace.endpoint",
                HTTPS,
            ),
        )
    ),
    *(
        Refusal(
            f"weights-ref-with-{name}",
            _object("LlamaDeployment", "a", {"model": "m", "weightsRef": {"name": "w"}, name: {}}),
            "spec.weightsRef",
            REF,
        )
        for name in ("source", "storage", "retention")
    ),
    Refusal(
        "adapters-without-room", _adapters(HUB_ADAPTER, enabled=False), "spec.adapters", ADAPTERS
    ),
    Refusal(
        "adapters-too-many",
        _adapters(HUB_ADAPTER, HUB_ADAPTER, maxAdapters=1),
        "spec.adapters",
        ADAPTERS,
    ),
    Refusal("adapter-no-source", _adapters({}), "spec.adapters[0].source", ADAPTER_SOURCE),
    Refusal(
        "adapter-two-sources",
        _adapters({**HUB_ADAPTER, "claim": {"name": "c"}}),
        "spec.adapters[0].source",
        ADAPTER_SOURCE,
    ),
    Refusal(
        "adapter-no-repo",
        _adapters({"huggingFace": {}}),
        "spec.adapters[0].source.huggingFace",
        ADAPTER_REPO,
    ),
    Refusal(
        "adapter-token-over-http",
        _adapters(
            {
                "huggingFace": {
                    "repo": "o/a",
                    "endpoint": "http://h",
                    "tokenSecretRef": {"name": "t"},
                }
            }
        ),
        "spec.adapters[0].source.huggingFace.endpoint",
        ADAPTER_HTTPS,
    ),
    Refusal("count", deployment(gpu={"count": 4}, sizing=SIZES), "spec.gpu.count", COUNT),
    Refusal(
        "two-ways-to-gpus",
        deployment(gpu={"deviceClassName": "gpu.nvidia.com", "resourceName": "nvidia.com/gpu"}),
        "spec.gpu.deviceClassName",
        CLASS,
    ),
    Refusal("nodes", deployment(sizing={**SIZES, "nodes": 3}), "spec.sizing.nodes", NODES),
    *(
        Refusal(
            f"env-{name}",
            deployment(engine={"env": [{"name": name}]}),
            "spec.engine.env[0].name",
            ENV,
        )
        for name in (
            "VLLM_API_KEY",
            "VLLM_SERVER_DEV_MODE",
            "VLLM_ALLOW_RUNTIME_LORA_UPDATING",
            "VLLM_PLUGINS",
            "VLLM_ALLOW_INSECURE_SERIALIZATION",
            "LD_PRELOAD",
            "LD_LIBRARY_PATH",
            "PYTHONPATH",
            "LLAMA_GUARD_KEYS",
            "SAGEMAKER_MODEL_PATH",
        )
    ),
    Refusal(
        "env-two-values",
        _env(value="x", valueFrom={"secretKeyRef": {"name": "s", "key": "k"}}),
        "spec.engine.env[0]",
        ONE_VALUE,
    ),
    Refusal("env-two-refs", _env(valueFrom=REFERENCE), "spec.engine.env[0].valueFrom", ONE_FROM),
    Refusal("env-no-ref", _env(valueFrom={}), "spec.engine.env[0].valueFrom", ONE_FROM),
    Refusal("args", deployment(engine={"args": ["-q", "--host"]}), "spec.engine.args[1]", ARGS),
    *(
        Refusal(f"transformers-{name}", _by_transformers(**spec), "spec.engine.type", ONLY_VLLM)
        for name, spec in (
            ("args", {"engine": {"args": ["--seed=1"]}}),
            ("eager", {"engine": {"enforceEager": True}}),
            ("seqs", {"sizing": {"maxNumSeqs": 4}}),
            ("batch", {"sizing": {"maxNumBatchedTokens": 4096}}),
            ("share", {"sizing": {"gpuMemoryUtilization": 0.9}}),
            ("cache", {"sizing": {"kvCacheDtype": "fp8"}}),
            ("cut", {"sizing": {"tensorParallel": 2}}),
        )
    ),
    *(
        Refusal(f"transformers-{name}", _by_transformers(**spec), "spec.engine.type", ONE_NODE)
        for name, spec in (
            ("adapters", {"lora": {"enabled": True}}),
            ("nodes", {"sizing": {"nodes": 2}}),
        )
    ),
    Refusal(
        "transformers-scaled",
        _by_transformers(autoscaling={"targets": [{"metric": "WaitingRequests", "value": 5}]}),
        "spec.autoscaling",
        "spec.autoscaling: its targets are metrics of vLLM, which transformers does not have; set "
        "spec.replicas, or let an HPA of your own scale by processor or GPU load",
    ),
    Refusal(
        "transformers-traced",
        _by_transformers(observability={"otlpEndpoint": "http://otel:4317"}),
        "spec.observability.otlpEndpoint",
        "spec.observability.otlpEndpoint: transformers sends no traces; remove it, or use vllm",
    ),
    Refusal(
        "kserve-to-zero",
        deployment(backend="kserve", autoscaling={"minReplicas": 0}),
        "spec.autoscaling.minReplicas",
        "spec.autoscaling.minReplicas: 0 needs backend native, which holds requests meanwhile; use "
        "1, or set spec.backend to native",
    ),
    Refusal(
        "kserve-on-two-nodes",
        deployment(backend="kserve", sizing={"nodes": 2}),
        "spec.sizing.nodes",
        "spec.sizing.nodes: backend kserve serves on one node; use 1, or set spec.backend to native",
    ),
    Refusal(
        "llm-without-kserve",
        deployment(kserve={"resource": "LLMInferenceService"}),
        "spec.kserve.resource",
        "spec.kserve.resource: LLMInferenceService is one of KServe's; set spec.backend to kserve, or "
        "remove it",
    ),
    Refusal(
        "llm-on-another-port",
        _by_llm(endpoint={"port": 9000}),
        "spec.endpoint.port",
        "spec.endpoint.port: KServe sends requests for an LLMInferenceService to port 8000 of its pods; "
        "use 8000, or one below 1024",
    ),
    Refusal(
        "llm-with-a-canary",
        _by_llm(rollout={"canaryPercent": 1}),
        "spec.rollout.canaryPercent",
        "spec.rollout.canaryPercent: an LLMInferenceService splits no traffic between revisions; remove "
        "it, or set spec.kserve.resource to InferenceService",
    ),
    Refusal(
        "min-above-max",
        deployment(autoscaling={"minReplicas": 3, "maxReplicas": 2}),
        "spec.autoscaling.minReplicas",
        "spec.autoscaling.minReplicas: must not exceed maxReplicas",
    ),
    Refusal(
        "min-above-the-default-max",
        deployment(autoscaling={"minReplicas": 5}),
        "spec.autoscaling.minReplicas",
        "spec.autoscaling.minReplicas: must not exceed maxReplicas",
    ),
    Refusal(
        "kv-usage-101",
        _scaled({"metric": "KVCacheUsage", "value": 101}),
        "spec.autoscaling.targets[0].value",
        "spec.autoscaling.targets: KVCacheUsage is a percentage; use 1 to 100",
    ),
    *(
        Refusal(
            f"{field}-{key}",
            deployment(podMetadata={field: {key: "x"}}),
            f"spec.podMetadata.{field}",
            KEYS.format(field),
        )
        for field in ("labels", "annotations")
        for key in ("llamactl.dev/deployment", "app.kubernetes.io/name")
    ),
]

# (id, object, field, words of the server): what the schema itself refuses.
BOUNDS = [
    Refusal(
        "resource-of-nobody",
        deployment(backend="kserve", kserve={"resource": "InferenceGraph"}),
        "spec.kserve.resource",
        "Unsupported value",
    ),
    *(
        Refusal(
            f"canary-{value}",
            deployment(backend="kserve", rollout={"canaryPercent": value}),
            "spec.rollout.canaryPercent",
            "should be",
        )
        for value in (-1, 101)
    ),
    Refusal("backend", deployment(backend="knative"), "spec.backend", "Unsupported value"),
    Refusal("no-model", _object("LlamaDeployment", "a", {}), "spec.model", "Required value"),
    *(
        Refusal(
            f"lora-{name}-{value}", deployment(lora={name: value}), f"spec.lora.{name}", "should be"
        )
        for name, value in (
            ("maxAdapters", 0),
            ("maxAdapters", 33),
            ("maxRank", 0),
            ("maxRank", 513),
        )
    ),
    Refusal(
        "adapter-name",
        deployment(lora={"enabled": True}, adapters=[{"name": "a/b", "source": HUB_ADAPTER}]),
        "spec.adapters[0].name",
        "should match",
    ),
    Refusal("replicas", deployment(replicas=-1), "spec.replicas", "greater than or equal to 0"),
    Refusal(
        "gpu-zero", deployment(gpu={"count": 0}), "spec.gpu.count", "greater than or equal to 1"
    ),
    Refusal(
        "gpu-minus", deployment(gpu={"count": -2}), "spec.gpu.count", "greater than or equal to 1"
    ),
    Refusal(
        "port", deployment(endpoint={"port": 65536}), "spec.endpoint.port", "less than or equal"
    ),
    Refusal("port-zero", deployment(endpoint={"port": 0}), "spec.endpoint.port", "greater than or"),
    *(
        Refusal(
            f"utilization-{value}",
            deployment(sizing={"gpuMemoryUtilization": value}),
            "spec.sizing.gpuMemoryUtilization",
            "should be",
        )
        for value in (0.05, 1)
    ),
    *(
        Refusal(f"{name}-zero", deployment(sizing={name: 0}), f"spec.sizing.{name}", "should be")
        for name in (
            "maxModelLen",
            "maxNumSeqs",
            "maxNumBatchedTokens",
            "tensorParallel",
            "pipelineParallel",
        )
    ),
    Refusal("dtype", deployment(sizing={"dtype": "int8"}), "spec.sizing.dtype", "supported values"),
    Refusal("auth", deployment(auth={"mode": "Open"}), "spec.auth.mode", "supported values"),
    Refusal("drain", deployment(drain={"timeout": "soon"}), "spec.drain.timeout", "should match"),
    Refusal(
        "undo", deployment(rollout={"undoTo": "Not A Name"}), "spec.rollout.undoTo", "should match"
    ),
    Refusal(
        "cache mode",
        deployment(compileCache={"storage": {"accessModes": ["ReadOnlyMany"]}}),
        "spec.compileCache.storage.accessModes[0]",
        "supported values",
    ),
    Refusal("budget", deployment(startup={"budget": "30"}), "spec.startup.budget", "should match"),
    Refusal(
        "strategy",
        deployment(rollout={"strategy": "Recreate"}),
        "spec.rollout.strategy",
        "supported values",
    ),
    Refusal("memory", deployment(gpu={"memory": "80GiB"}), "spec.gpu.memory", "should match"),
    Refusal("size", weights(storage={"size": "-1Gi"}), "spec.storage.size", "should match"),
    Refusal(
        "size-int", weights(storage={"size": -1}), "spec.storage.size", "greater than or equal"
    ),
    Refusal(
        "endpoint-user",
        weights(**hugging_face(endpoint="https://me:secret@hub")),
        "spec.source.huggingFace.endpoint",
        "should match",
    ),
    Refusal(
        "revision-dash",
        weights(**hugging_face(revision="--upload")),
        "spec.source.huggingFace.revision",
        "should match",
    ),
    Refusal(
        "repo-dots",
        weights(**hugging_face(repo="../../etc")),
        "spec.source.huggingFace.repo",
        "should match",
    ),
    Refusal(
        "no-url", weights(source={"meta": {}}), "spec.source.meta.urlSecretRef", "Required value"
    ),
    *(
        Refusal(
            f"claim-path-{name}",
            weights(source={"claim": {"name": "c", "path": path}}),
            "spec.source.claim.path",
            "should match",
        )
        for name, path in (("up", "../x"), ("inside", "a/../b"), ("root", "/a"), ("end", "a/"))
    ),
    Refusal(
        "verify-hourly",
        weights(verify={"schedule": "Hourly"}),
        "spec.verify.schedule",
        "Unsupported",
    ),
    Refusal(
        "connections", weights(fetch={"connections": 0}), "spec.fetch.connections", "should be"
    ),
    Refusal("args-many", deployment(engine={"args": ["x"] * 65}), "spec.engine.args", "at most 64"),
    Refusal(
        "env-twice",
        deployment(engine={"env": [{"name": "A"}, {"name": "A"}]}),
        "spec.engine.env[1]",
        "Duplicate value",
    ),
    *(
        Refusal(f"autoscaling-{name}", obj, f"spec.autoscaling.{field}", message)
        for name, obj, field, message in (
            ("min", deployment(autoscaling={"minReplicas": -1}), "minReplicas", "should be"),
            ("max", deployment(autoscaling={"maxReplicas": 0}), "maxReplicas", "should be"),
            ("idle", deployment(autoscaling={"idleAfter": "soon"}), "idleAfter", "should match"),
            ("none", _scaled(), "targets", "at least 1"),
            ("metric", _scaled({"metric": "CPU", "value": 1}), "targets[0].metric", "Unsupported"),
            (
                "value",
                _scaled({"metric": "WaitingRequests", "value": 0}),
                "targets[0].value",
                "should be",
            ),
            (
                "twice",
                _scaled(*[{"metric": "WaitingRequests", "value": 1}] * 2),
                "targets[1]",
                "Duplicate",
            ),
        )
    ),
]

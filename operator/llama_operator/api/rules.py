"""The rules of admission in CEL: what an object alone shows to be wrong is refused at once.

Each message names the field and the way out. What needs a catalogue, a node or a Secret is not
judged here but ends in a condition. Every rule stays within the API server's cost budget only
because every string, list and map of the schema is bounded.
"""

from __future__ import annotations

from typing import Final

from llama_operator.api import labels, reserved, rules_canary, rules_outward
from llama_operator.api.rule import Rule


def _listed(texts: tuple[str, ...]) -> str:
    return "[" + ", ".join(f"'{each}'" for each in texts) + "]"


def _flag_rule() -> str:
    family = " || ".join(f"n.startsWith('--{each}')" for each in reserved.RESERVED_FAMILIES)
    flags = _listed(tuple(f"--{each}" for each in reserved.RESERVED_FLAGS))
    # The one-element list binds n: the flag's name as vLLM's parser will read it.
    return (
        f"self != '{reserved.SHORT_EXACT}' && !self.matches('{reserved.SHORT_PATTERN}') && "
        "[self.split('=', 2)[0].split('.', 2)[0].replace('_', '-')].all(n, "
        f"!n.startsWith('--') || !({family} || {flags}.exists(f, f.startsWith(n))))"
    )


def _env_rule() -> str:
    prefixes = " || ".join(
        f"self.name.startsWith('{each}')" for each in reserved.RESERVED_ENV_PREFIXES
    )
    return f"!(self.name in {_listed(reserved.RESERVED_ENV)} || {prefixes})"


def _foreign_keys() -> str:
    return " || ".join(f"k.startsWith('{each}')" for each in labels.RESERVED_PREFIXES)


def _reserved_key(field: str) -> Rule:
    return Rule(
        f"spec.podMetadata.{field}",
        f"!self.exists(k, {_foreign_keys()})",
        f"spec.podMetadata.{field}: keys of {' and '.join(labels.RESERVED_PREFIXES)} are set by "
        "the operator; use another prefix",
    )


_SAME = "cannot change; make a new LlamaWeights"
_STORAGE = f"spec.storage: {_SAME}; only spec.storage.size may grow"


def _unchanged(field: str) -> str:
    """Optional chaining would read shorter, but the cost estimate knows no bound for it."""
    return (
        f"has(self.{field}) == has(oldSelf.{field}) "
        f"&& (!has(self.{field}) || self.{field} == oldSelf.{field})"
    )


# What only vLLM has a meaning for.
_ONLY_VLLM: Final = " || ".join(
    (
        "(has(self.engine.args) && self.engine.args.size() > 0)",
        "self.engine.enforceEager",
        "has(self.sizing.maxNumSeqs)",
        "has(self.sizing.maxNumBatchedTokens)",
        "has(self.sizing.gpuMemoryUtilization)",
        "self.sizing.kvCacheDtype != 'auto'",
        "(has(self.sizing.tensorParallel) && self.sizing.tensorParallel > 1)",
    )
)

SHARED: Final[tuple[Rule, ...]] = (
    Rule(
        "",
        "self.metadata.name.matches('^[a-z]([-a-z0-9]{0,48}[a-z0-9])?$')",
        "metadata.name: at most 50 of a-z, 0-9, -; it names a Service and must start with a letter",
    ),
    Rule(
        "spec.model",
        "self.matches('^[A-Za-z0-9][A-Za-z0-9_.-]*(/[A-Za-z0-9][A-Za-z0-9_.-]*)?$') "
        "&& !self.contains('..')",
        "spec.model: a catalogue id (llamactl models) or org/repo",
    ),
    Rule(
        "spec.source",
        "[has(self.huggingFace), has(self.meta), has(self.claim)].filter(each, each).size() <= 1",
        "spec.source: set one of huggingFace, meta, claim; remove the others",
    ),
    Rule(
        "spec.source.huggingFace",
        "!has(self.endpoint) || !self.endpoint.startsWith('http://') || !has(self.tokenSecretRef)",
        "spec.source.huggingFace.endpoint: a token is only sent over https",
        ".endpoint",
    ),
)

DEPLOYMENT: Final[tuple[Rule, ...]] = (
    *SHARED,
    Rule(
        "spec",
        "!has(self.weightsRef) || !(has(self.source) || has(self.storage) || has(self.retention))",
        "spec.weightsRef: names existing weights; remove spec.source, spec.storage, spec.retention",
        ".weightsRef",
    ),
    Rule(
        "spec",
        "!(has(self.gpu.count) && has(self.sizing.tensorParallel) "
        "&& has(self.sizing.pipelineParallel)) "
        "|| self.gpu.count == self.sizing.tensorParallel * self.sizing.pipelineParallel",
        "spec.gpu.count: must be tensorParallel x pipelineParallel; remove one of the three",
        ".gpu.count",
    ),
    Rule(
        "spec.gpu",
        "!has(self.deviceClassName) || self.deviceClassName == '' "
        "|| !has(self.resourceName) || self.resourceName == ''",
        "spec.gpu.deviceClassName: GPUs are claimed of a device class or counted as "
        "spec.gpu.resourceName, not both; remove one of the two",
        ".deviceClassName",
    ),
    Rule(
        "spec.sizing",
        "!(has(self.nodes) && has(self.tensorParallel) && has(self.pipelineParallel)) "
        "|| (self.tensorParallel * self.pipelineParallel) % self.nodes == 0",
        "spec.sizing.nodes: must divide tensorParallel x pipelineParallel",
        ".nodes",
    ),
    Rule(
        "spec.engine.args[]",
        _flag_rule(),
        "spec.engine.args: this flag is set by the operator or opens the server; use the field "
        "named in the docs",
    ),
    Rule(
        "spec.engine.env[]",
        _env_rule(),
        "spec.engine.env: reserved, it would open the server or change its code",
        ".name",
    ),
    Rule(
        "spec.engine.env[]",
        "!(has(self.value) && has(self.valueFrom))",
        "spec.engine.env: set value or valueFrom; remove the other",
    ),
    Rule(
        "spec.engine.env[].valueFrom",
        "has(self.secretKeyRef) != has(self.configMapKeyRef)",
        "spec.engine.env: valueFrom takes one of secretKeyRef, configMapKeyRef",
    ),
    Rule(
        "spec",
        "!has(self.adapters) || self.adapters.size() == 0 "
        "|| (self.lora.enabled && self.adapters.size() <= self.lora.maxAdapters)",
        "spec.adapters: set spec.lora.enabled (one restart), or raise spec.lora.maxAdapters",
        ".adapters",
    ),
    Rule(
        "spec.adapters[].source",
        "has(self.huggingFace) != has(self.claim)",
        "spec.adapters: source takes one of huggingFace, claim",
    ),
    Rule(
        "spec.adapters[].source.huggingFace",
        "has(self.repo) && self.repo != ''",
        "spec.adapters: source.huggingFace.repo: name the adapter's repository, org/name",
    ),
    Rule(
        "spec.adapters[].source.huggingFace",
        "!has(self.endpoint) || !self.endpoint.startsWith('http://') || !has(self.tokenSecretRef)",
        "spec.adapters: source.huggingFace.endpoint: a token is only sent over https",
        ".endpoint",
    ),
    Rule(
        "spec",
        "self.engine.type != 'transformers' || (!self.lora.enabled && "
        "(!has(self.adapters) || self.adapters.size() == 0) && "
        "(!has(self.sizing.nodes) || self.sizing.nodes <= 1))",
        "spec.engine.type: transformers serves one node without adapters; use vllm",
        ".engine.type",
    ),
    Rule(
        "spec",
        f"self.engine.type != 'transformers' || !({_ONLY_VLLM})",
        "spec.engine.type: transformers has no flags of vLLM and computes one request at a time on "
        "whole layers; remove engine.args, engine.enforceEager, maxNumSeqs, maxNumBatchedTokens, "
        "gpuMemoryUtilization, kvCacheDtype and tensorParallel above 1, or use vllm",
        ".engine.type",
    ),
    Rule(
        "spec",
        "self.engine.type != 'transformers' || !has(self.autoscaling)",
        "spec.autoscaling: its targets are metrics of vLLM, which transformers does not have; set "
        "spec.replicas, or let an HPA of your own scale by processor or GPU load",
        ".autoscaling",
    ),
    Rule(
        "spec",
        "self.engine.type != 'transformers' || !has(self.observability.otlpEndpoint) "
        "|| self.observability.otlpEndpoint == ''",
        "spec.observability.otlpEndpoint: transformers sends no traces; remove it, or use vllm",
        ".observability.otlpEndpoint",
    ),
    Rule(
        "spec.autoscaling",
        "self.minReplicas <= self.maxReplicas",
        "spec.autoscaling.minReplicas: must not exceed maxReplicas",
        ".minReplicas",
    ),
    Rule(
        "spec.autoscaling.targets[]",
        "self.metric != 'KVCacheUsage' || self.value <= 100",
        "spec.autoscaling.targets: KVCacheUsage is a percentage; use 1 to 100",
        ".value",
    ),
    _reserved_key("labels"),
    _reserved_key("annotations"),
    *rules_canary.DEPLOYMENT,
    *rules_outward.DEPLOYMENT,
)

WEIGHTS: Final[tuple[Rule, ...]] = (
    *SHARED,
    Rule("spec.model", "self == oldSelf", f"spec.model: {_SAME}"),
    Rule("spec.adapter", "self == oldSelf", f"spec.adapter: {_SAME}"),
    Rule("spec", _unchanged("source"), f"spec.source: {_SAME}", ".source"),
    Rule(
        "spec",
        "has(self.storage) ? has(oldSelf.storage) || !(has(self.storage.claimName) "
        "|| has(self.storage.storageClassName) || has(self.storage.accessModes)) "
        ": !has(oldSelf.storage)",
        _STORAGE,
        ".storage",
    ),
    *(
        Rule("spec.storage", _unchanged(field), _STORAGE, f".{field}")
        for field in ("claimName", "storageClassName", "accessModes")
    ),
    Rule(
        "spec.storage",
        "!has(oldSelf.size) || (has(self.size) && "
        "quantity(string(self.size)).compareTo(quantity(string(oldSelf.size))) >= 0)",
        "spec.storage.size: a volume cannot shrink; keep or raise it",
        ".size",
    ),
)

"""What rendering needs to know, gathered by the caller: rendering itself looks nothing up."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from llama_operator.api.v1alpha1 import LlamaDeploymentSpec, LlamaWeightsSpec
from llama_operator.api.v1alpha1_weights import CaBundle
from llama_operator.planner.plan import Plan
from llama_operator.render.origins import Origin

Object = dict[str, Any]


@dataclass(frozen=True)
class Owner:
    """The custom resource that owns what is rendered."""

    kind: str
    namespace: str
    name: str
    uid: str


@dataclass(frozen=True)
class Settings:
    """The operator's own settings that reach pods."""

    weights_image: str = "llama-operator:0.1.0"
    weights_runtime_class: str = ""
    hf_endpoint: str = ""
    hf_token_secret: str = "hf-token"  # noqa: S105 - the name of a Secret, not a secret
    # User and group of all pods; 0 leaves both to the cluster, as OpenShift wants it.
    user_id: int = 10001
    operator_namespace: str = "llama-system"
    monitoring_namespaces: tuple[str, ...] = ("monitoring",)
    # The way out of the cluster, for all pods; see `outward`.
    http_proxy: str = ""
    https_proxy: str = ""
    no_proxy: tuple[str, ...] = ()
    ca_bundle: CaBundle | None = None
    image_registry: str = ""
    # Collector of traces where a spec names none; "": no traces.
    otlp_endpoint: str = ""
    # What autoscalers read of servers, where KEDA is, and what holds requests while there are none.
    prometheus_address: str = ""
    keda_namespace: str = "keda"
    # Of servers over several nodes: variables (NCCL's), and resources of the RDMA device.
    group_env: tuple[tuple[str, str], ...] = ()
    group_resources: tuple[tuple[str, str], ...] = ()
    activator_image: str = "llama-operator:0.1.0"
    # What chooses servers for an InferencePool, and where proxies of gateways run that are not in
    # the namespaces of their Gateways.
    picker_image: str = "registry.k8s.io/gateway-api-inference-extension/epp:v1.5.0"
    gateway_namespaces: tuple[str, ...] = ("envoy-gateway-system", "ingress-nginx", "traefik")


@dataclass(frozen=True)
class Served:
    """Which kinds of Gateway API the cluster has, as far as a route or a pool is wanted."""

    route: bool = False
    pool: bool = False


@dataclass(frozen=True)
class Canary:
    """One server of another revision, beside the others.

    `template` is of that revision, empty while only pods of it are left; `percent` of the requests
    from outside are for it, 0 while it does not answer.
    """

    template: Object = field(default_factory=dict)
    percent: int = 0


@dataclass(frozen=True)
class Scaling:
    """Who sets the replicas, and how many there may be: a quota may allow fewer than the spec."""

    scaler: Literal["KEDA", "HPA", "None"]
    max_replicas: int


@dataclass(frozen=True)
class Copy:
    """A verified copy of a checkpoint on a claim, as a server mounts it.

    `one_node`: all pods that mount the claim must be on one node.
    """

    name: str
    claim: str
    path: str
    bytes: int
    one_node: bool = False


@dataclass(frozen=True)
class Serving:
    """A planned LlamaDeployment whose weights are ready."""

    owner: Owner
    spec: LlamaDeploymentSpec
    plan: Plan
    weights: Copy
    image: str
    vllm_version: str
    # Bytes a second at which these weights were loaded before; 0: never.
    measured_speed: float = 0.0
    settings: Settings = field(default_factory=Settings)
    # None without spec.autoscaling.
    scaling: Scaling | None = None
    # Ranks over several nodes are still there, whatever the plan says.
    grouped: bool = False
    gateway: Served = Served()
    # None where there is none, nor any pod of one.
    canary: Canary | None = None

    @property
    def to_zero(self) -> bool:
        """Whether there may be no replica while requests come."""
        autoscaling = self.spec.autoscaling
        return autoscaling is not None and autoscaling.min_replicas == 0


@dataclass(frozen=True)
class Replacing:
    """How a Deployment replaces its pods; `record` is kept on it, for who decided that.

    `older`: there are pods of another template yet.
    """

    surge: int = 0
    unavailable: int | str = 1
    record: str = ""
    older: bool = False


@dataclass(frozen=True)
class Fetching:
    """A LlamaWeights and what is known of it so far.

    `needed` are the bytes that the claim must hold, originals included; `claim` is "" where
    nothing is written, as for files that lie on a claim of the user already.
    """

    owner: Owner
    spec: LlamaWeightsSpec
    origin: Origin
    commit: str = ""
    path: str = ""
    claim: str = ""
    claim_bytes: int = 0
    needed: int = 0
    # Of Kueue, for all Jobs; "" for none.
    queue: str = ""
    settings: Settings = field(default_factory=Settings)

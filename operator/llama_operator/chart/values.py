"""All values of the chart, in the order in which values.yaml and the README show them."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import Field

from llama_operator.api.fields import ENDPOINT_PATTERN, PullSecret
from llama_operator.chart.base import (
    PROXY_PATTERN,
    REGISTRY_PATTERN,
    REPOSITORY_PATTERN,
    Free,
    Image,
    Name,
    Part,
    Texts,
)
from llama_operator.chart.values_admission import AdmissionPolicy
from llama_operator.chart.values_metrics import Metrics, Traces
from llama_operator.chart.values_pod import (
    DisruptionBudget,
    NetworkPolicy,
    OperatorPod,
    ServiceAccount,
)
from llama_operator.chart.values_routing import Routing


class OperatorImage(Image):
    """The operator's image."""

    pull_policy: Literal["Always", "IfNotPresent", "Never"] = Field(
        default="IfNotPresent", description="When the kubelet pulls it."
    )


class WeightsImage(Image):
    """The image of the weights Jobs."""

    repository: str = Field(
        default="llama-weights",
        description="Registry and repository of the image that fetches, converts and verifies.",
        pattern=REPOSITORY_PATTERN,
    )


class Weights(Part):
    """The Jobs that bring checkpoints."""

    image: WeightsImage = Field(default_factory=WeightsImage, description="Their image.")
    runtime_class_name: Name = Field(default="", description="RuntimeClass of their pods.")
    hub_endpoint: str = Field(
        default="",
        description="Hub of sources that name none; empty: https://huggingface.co.",
        pattern=ENDPOINT_PATTERN,
    )
    token_secret: Name = Field(
        default="hf-token",
        description="Secret with the entry token that is used where a source names none and the "
        "namespace has it.",
        min_length=1,
    )


class Proxy(Part):
    """The way out of the cluster."""

    http: str = Field(default="", description="Proxy for http:// addresses.", pattern=PROXY_PATTERN)
    https: str = Field(
        default="",
        description="Proxy for https:// addresses. No password here: everyone who may read pods "
        "may read it.",
        pattern=PROXY_PATTERN,
    )
    no_proxy: tuple[Annotated[str, Field(min_length=1, max_length=253)], ...] = Field(
        default=(),
        description="Hosts, suffixes and CIDR ranges that are reached without it. The API server "
        "and names in the cluster are always among them.",
    )


class CaBundle(Part):
    """Authorities that are trusted besides nobody else."""

    config_map_name: Name = Field(
        default="",
        description="ConfigMap with the certificates of all trusted authorities, which every "
        "namespace with deployments must have (trust-manager or OpenShift put it there). Empty: "
        "the authorities of the image.",
    )
    key: str = Field(default="ca.crt", description="Its entry.", min_length=1, max_length=253)


class Autoscaling(Part):
    """What spec.autoscaling uses."""

    prometheus_address: str = Field(
        default="",
        description="Prometheus that KEDA asks how busy servers are, such as "
        "http://prometheus-operated.monitoring.svc:9090. Empty: KEDA is not used, and "
        "HorizontalPodAutoscalers are made.",
        pattern=ENDPOINT_PATTERN,
    )
    keda_namespace: Name = Field(
        default="keda",
        description="Namespace of KEDA, which may ask activators whether requests wait; empty: "
        "nobody but Prometheus may.",
    )


class SeveralNodes(Part):
    """Servers over several nodes, for which LeaderWorkerSet must be installed."""

    env: Texts = Field(
        default={},
        description="Variables of their ranks, such as NCCL_SOCKET_IFNAME: eth0 or NCCL_IB_HCA: "
        "mlx5. spec.engine.env goes before them. Without any NCCL finds its devices by itself.",
    )
    resources: Texts = Field(
        default={},
        description="Resources of each of their pods besides GPUs, as quoted numbers, such as rdma/ib. "
        "They come from the device plugin that brings RDMA into pods.",
    )


class Crds(Part):
    """The custom resource definitions."""

    enabled: bool = Field(
        default=True,
        description="Install and upgrade them with the release. False: apply them yourself, before "
        "the chart.",
    )
    keep: bool = Field(
        default=True,
        description="Keep them when the release is uninstalled. False deletes them, and with them "
        "every LlamaDeployment and LlamaWeights of the cluster.",
    )


class Rbac(Part):
    """The operator's rights."""

    create: bool = Field(default=True, description="Make the roles and their bindings.")
    aggregate: bool = Field(
        default=True,
        description="Let whoever has the cluster roles view, edit or admin in a namespace read, or "
        "write, LlamaDeployments and LlamaWeights there.",
    )


class Log(Part):
    """What the operator writes."""

    format: Literal["json", "text"] = Field(default="json", description="One object or line each.")
    level: Literal["debug", "info", "warning"] = Field(default="info", description="From where on.")


class Test(Part):
    """`helm test`."""

    enabled: bool = Field(
        default=True, description="Offer a pod that asks /readyz through the Service."
    )


class Values(Part):
    """All values of the chart."""

    name_override: Name = Field(default="", description="Name instead of the chart's.")
    fullname_override: Name = Field(
        default="", description="Name of all objects, instead of one made from the release's."
    )
    common_labels: Texts = Field(default={}, description="Labels of all objects of the release.")
    image: OperatorImage = Field(default_factory=OperatorImage, description="The operator's image.")
    image_pull_secrets: tuple[PullSecret, ...] = Field(
        default=(), description="Secrets for the registry of the operator's image."
    )
    image_registry: str = Field(
        default="",
        description="Registry that mirrors all images that chart and operator choose: the "
        "operator's, that of the weights Jobs, and vLLM's default ones. Docker Hub's "
        "vllm/vllm-openai is then looked for as REGISTRY/vllm/vllm-openai. An image that a "
        "LlamaDeployment names is used as named.",
        pattern=REGISTRY_PATTERN,
    )
    watch_namespace: Name = Field(
        default="",
        description="Serve one namespace only, with rights in that namespace; empty: all.",
    )
    workers: int = Field(
        default=4, description="Objects of a kind that are looked at at once.", ge=1, le=64
    )
    log: Log = Field(default_factory=Log, description="What the operator writes.")
    pod_user_id: int = Field(
        default=10001,
        description="User and group of the operator's pods and of all pods that it makes; 0: the "
        "cluster gives them, as OpenShift does.",
        ge=0,
        le=2**31 - 1,
    )
    weights: Weights = Field(
        default_factory=Weights, description="The Jobs that bring checkpoints."
    )
    extra_models: tuple[Free, ...] = Field(
        default=(),
        description="Models besides the catalogue's, in its own form (docs/sizing.md, Models of "
        "your own).",
    )
    proxy: Proxy = Field(
        default_factory=Proxy, description="The way out of the cluster, for all pods that are made."
    )
    ca_bundle: CaBundle = Field(
        default_factory=CaBundle, description="Trusted authorities of all pods that are made."
    )
    autoscaling: Autoscaling = Field(
        default_factory=Autoscaling, description="What spec.autoscaling uses."
    )
    routing: Routing = Field(
        default_factory=Routing, description="What routes from outside use and get."
    )
    several_nodes: SeveralNodes = Field(
        default_factory=SeveralNodes, description="What servers over several nodes get."
    )
    crds: Crds = Field(default_factory=Crds, description="The custom resource definitions.")
    rbac: Rbac = Field(default_factory=Rbac, description="The operator's rights.")
    service_account: ServiceAccount = Field(
        default_factory=ServiceAccount, description="The operator's account."
    )
    operator: OperatorPod = Field(default_factory=OperatorPod, description="The operator's pods.")
    pod_disruption_budget: DisruptionBudget = Field(
        default_factory=DisruptionBudget, description="What a drain may take of the operator."
    )
    network_policy: NetworkPolicy = Field(
        default_factory=NetworkPolicy, description="Who may connect to the operator."
    )
    metrics: Metrics = Field(default_factory=Metrics, description="Metrics, alerts, dashboards.")
    traces: Traces = Field(default_factory=Traces, description="Traces of requests.")
    admission_policy: AdmissionPolicy = Field(
        default_factory=AdmissionPolicy,
        description="What authors of LlamaDeployments and LlamaWeights may name (a "
        "ValidatingAdmissionPolicy; Kubernetes 1.30 and newer).",
    )
    test: Test = Field(default_factory=Test, description="`helm test`.")


# Values that Helm itself or a chart above this one sets; they are taken and mean nothing here.
FROM_ABOVE: Final = {
    "global": {
        "type": "object",
        "description": "Values that a chart above shares; not used.",
        "additionalProperties": True,
    },
    "enabled": {
        "type": "boolean",
        "description": "Condition of a chart above this one; not used.",
    },
}

"""Values of what watches the operator and its servers."""

from __future__ import annotations

from pydantic import Field

from llama_operator.api.fields import ENDPOINT_PATTERN
from llama_operator.chart.base import (
    SECONDS_PATTERN,
    URL_PATTERN,
    Auto,
    Name,
    Part,
    Port,
    Texts,
)

_WHEN = "auto: where the cluster knows the kind (monitoring.coreos.com/v1); true or false: always."


class MetricsService(Part):
    """The Service of the operator's metrics."""

    port: Port = Field(default=8081, description="Port of the Service.")
    annotations: Texts = Field(default={}, description="Annotations of the Service.")


class Monitor(Part):
    """The operator's series."""

    enabled: Auto = Field(default="auto", description=f"Make a ServiceMonitor. {_WHEN}")
    interval: str = Field(
        default="30s", description="Time between two scrapes.", pattern=SECONDS_PATTERN
    )
    labels: Texts = Field(
        default={}, description="More labels, by which a Prometheus selects its monitors."
    )


class Issuer(Part):
    """Who signs, as cert-manager knows it."""

    name: Name = Field(
        default="",
        description="Issuer of cert-manager. With one the chart makes a Certificate, whose Secret is "
        "metrics.tls.secretName, or the release's name with -metrics. Empty: none is made.",
    )
    kind: str = Field(
        default="Issuer",
        description="Issuer (of the release's namespace), ClusterIssuer, or the kind of an external one.",
        min_length=1,
        max_length=63,
    )
    group: str = Field(
        default="cert-manager.io", description="Its API group.", min_length=1, max_length=253
    )


class CertManager(Part):
    """A certificate by cert-manager."""

    enabled: Auto = Field(
        default="auto",
        description="auto: refuse an issuerRef where the cluster does not know cert-manager.io/v1; "
        "true: make the Certificate anyway, as `helm template` needs it; false: make none.",
    )
    issuer_ref: Issuer = Field(default_factory=Issuer, description="Who signs.")


class Tls(Part):
    """TLS of the operator's port: metrics and probes."""

    secret_name: Name = Field(
        default="",
        description="Secret of type kubernetes.io/tls in the release's namespace. With one the operator "
        "serves /metrics, /healthz and /readyz over TLS, and reads a renewed one without a restart. "
        "Empty: HTTP, unless cert-manager makes one.",
    )
    server_name: Name = Field(
        default="",
        description="Name in the certificate that Prometheus looks for; empty: SERVICE.NAMESPACE.svc.",
    )
    ca_secret_name: Name = Field(
        default="",
        description="Secret with the authority that signed, for Prometheus and `helm test`; empty: the "
        "Secret of the certificate, where cert-manager writes it.",
    )
    ca_key: str = Field(
        default="ca.crt",
        description="Its entry; empty: an authority that Prometheus' image trusts has signed.",
        max_length=253,
    )
    insecure_skip_verify: bool = Field(
        default=False,
        description="Let Prometheus take any certificate: nobody listens in, but anybody may answer.",
    )
    client_ca_secret_name: Name = Field(
        default="",
        description="Secret whose entry ca.crt holds the authority of scrapers: /metrics is then for "
        "whoever shows a certificate of it; probes need none. Empty: for whoever may connect.",
    )
    client_secret_name: Name = Field(
        default="",
        description="Secret of type kubernetes.io/tls with the certificate that Prometheus shows then.",
    )
    cert_manager: CertManager = Field(
        default_factory=CertManager, description="A certificate by cert-manager."
    )


class PodMonitors(Monitor):
    """The series of servers and weights Jobs."""

    enabled: Auto = Field(
        default="auto",
        description=f"Make PodMonitors of the servers and of the weights Jobs. {_WHEN}",
    )


class Rules(Part):
    """Alerts."""

    enabled: Auto = Field(
        default="auto", description=f"Make a PrometheusRule for each file of alerts. {_WHEN}"
    )
    labels: Texts = Field(
        default={}, description="More labels, by which a Prometheus selects its rules."
    )
    runbook_url: str = Field(
        default="https://llamactl.dev/runbooks",
        description="Where the pages of alerts are: an alert's `runbook_url` is this and its name.",
        pattern=URL_PATTERN,
    )


class Dashboards(Part):
    """Dashboards of Grafana."""

    enabled: bool = Field(
        default=False, description="Make a ConfigMap for each dashboard, for Grafana's sidecar."
    )
    namespace: Name = Field(
        default="", description="Namespace of the ConfigMaps; empty: the release's."
    )
    labels: Texts = Field(
        default={"grafana_dashboard": "1"}, description="Labels that the sidecar looks for."
    )
    annotations: Texts = Field(
        default={"grafana_folder": "Llama"}, description="Annotations, such as the folder."
    )


class Metrics(Part):
    """Metrics, alerts, dashboards."""

    service: MetricsService = Field(
        default_factory=MetricsService, description="The Service of the operator's metrics."
    )
    monitoring_namespaces: tuple[Name, ...] = Field(
        default=("monitoring",),
        description="Namespaces of Prometheus: they may connect to the operator and, where a "
        "LlamaDeployment names no peers, to its servers.",
    )
    tls: Tls = Field(default_factory=Tls, description="TLS of metrics and probes.")
    per_object: Auto = Field(
        default="auto",
        description="Series of each LlamaDeployment and LlamaWeights, by namespace and name. auto: where "
        "this release makes alerts or dashboards, which read them. False with either is refused.",
    )
    service_monitor: Monitor = Field(
        default_factory=Monitor, description="The operator's series for Prometheus Operator."
    )
    pod_monitors: PodMonitors = Field(
        default_factory=PodMonitors, description="The series of vLLM and of the weights Jobs."
    )
    rules: Rules = Field(default_factory=Rules, description="Alerts.")
    dashboards: Dashboards = Field(default_factory=Dashboards, description="Dashboards of Grafana.")


class Traces(Part):
    """Traces of requests."""

    otlp_endpoint: str = Field(
        default="",
        description="Collector of servers whose LlamaDeployment names none: http://HOST:4317 for "
        "gRPC; with a path, such as http://HOST:4318/v1/traces, OTLP over HTTP. Empty: no traces.",
        pattern=ENDPOINT_PATTERN,
    )

"""The operator's settings: flags, each with an environment variable LLAMA_OPERATOR_<NAME>."""

from __future__ import annotations

from dataclasses import dataclass, field

from llama_operator.render.inputs import Settings


@dataclass(frozen=True)
class Config:
    """Settings of one operator process."""

    kubeconfig: str = ""
    context: str = ""
    # Empty: all namespaces.
    watch_namespace: str = ""
    workers: int = 4
    leader_election: bool = True
    health_host: str = "127.0.0.1"
    health_port: int = 8081
    # Empty: plain HTTP.
    metrics_tls_dir: str = ""
    # Empty: whoever may connect may read.
    metrics_client_ca: str = ""
    # Series of each LlamaDeployment and LlamaWeights, besides those of the fleet.
    metrics_per_object: bool = False
    log_format: str = "json"
    log_level: str = "info"
    models_file: str = ""
    settings: Settings = field(default_factory=Settings)

"""How the servers of a LlamaDeployment are reached, from inside the cluster and from outside.

Import the names from `v1alpha1`.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from llama_operator.api.fields import INT32, NAME_PATTERN, Model, NetworkPeer, always, listed

_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
HOST_PATTERN = rf"^({_LABEL}(\.{_LABEL})*)?$"
# As Gateway API takes it: the first label may be a star.
WILDCARD_PATTERN = rf"^(\*\.)?{_LABEL}(\.{_LABEL})*$"


class NetworkPolicySpec(Model):
    """Who may connect."""

    enabled: bool = Field(default=True, description="Make a NetworkPolicy. Default true.")
    from_: tuple[NetworkPeer, ...] = Field(
        default=(),
        alias="from",
        description="Peers that may connect. Auto: the same namespace, operator and Prometheus.",
        max_length=32,
        json_schema_extra=listed("atomic"),
    )


class ParentRef(Model):
    """A Gateway that takes the route, or one of its listeners."""

    name: str = Field(
        description="Name of the Gateway.", min_length=1, max_length=253, pattern=NAME_PATTERN
    )
    namespace: str | None = Field(
        default=None,
        description="Its namespace. Auto: that of the deployment.",
        max_length=63,
        pattern=NAME_PATTERN,
    )
    section_name: str | None = Field(
        default=None,
        description="One listener of it, by name. Auto: all that take the route.",
        max_length=253,
        pattern=HOST_PATTERN,
    )
    port: int | None = Field(
        default=None,
        description="Only listeners of this port, 1 to 65535. Auto: any.",
        ge=1,
        le=65535,
        json_schema_extra=INT32,
    )


class HttpRouteSpec(Model):
    """Present: a route of Gateway API leads to the servers."""

    parent_refs: tuple[ParentRef, ...] = Field(
        default=(),
        description="Gateways that take the route; at least one.",
        max_length=8,
        json_schema_extra=listed("atomic"),
    )
    hostnames: tuple[Annotated[str, Field(max_length=253, pattern=WILDCARD_PATTERN)], ...] = Field(
        default=(),
        description="Hosts of requests that take it, such as llama.example.com. Auto: all hosts of "
        "the listeners.",
        max_length=16,
        json_schema_extra=listed("set"),
    )


class IngressSpec(Model):
    """Present: an Ingress leads to the servers."""

    class_name: str | None = Field(
        default=None,
        description="IngressClass. Auto: the cluster's default.",
        max_length=253,
        pattern=NAME_PATTERN,
    )
    host: str | None = Field(
        default=None,
        description="Host of requests that take it, such as llama.example.com; needed.",
        max_length=253,
        pattern=HOST_PATTERN,
    )
    tls_secret_name: str | None = Field(
        default=None,
        description="Secret with tls.crt and tls.key for the host. Auto: no TLS, but that which the "
        "controller adds by itself.",
        max_length=253,
        pattern=NAME_PATTERN,
    )


class EndpointSpec(Model):
    """How the servers are reached."""

    served_model_name: str | None = Field(
        default=None,
        description="Value of `model` in requests. Auto: spec.model.",
        max_length=253,
        pattern=r"^([A-Za-z0-9][A-Za-z0-9_./:-]*)?$",
    )
    port: int = Field(
        default=8000,
        description="Port of the Service, 1 to 65535. Default 8000.",
        ge=1,
        le=65535,
        json_schema_extra=INT32,
    )
    routing: Literal["None", "PrefixAware"] = Field(
        default="None",
        description="PrefixAware sends requests with the same beginning to the same server, by an "
        "InferencePool behind httpRoute; None sends them to any. Default None.",
    )
    http_route: HttpRouteSpec | None = Field(
        default=None,
        description="Lets a Gateway send requests to the servers. Auto: none does.",
    )
    ingress: IngressSpec | None = Field(
        default=None,
        description="Lets an ingress controller send requests to the servers. Auto: none does.",
    )
    network_policy: NetworkPolicySpec = Field(
        default_factory=always(NetworkPolicySpec), description="Who may connect."
    )

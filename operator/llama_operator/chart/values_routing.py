"""Values of what leads requests from outside to servers."""

from __future__ import annotations

from pydantic import Field

from llama_operator.chart.base import REPOSITORY_PATTERN, TAG_PATTERN, Image, Name, Part
from llama_operator.render.inputs import Settings


class PickerImage(Image):
    """The image of what chooses servers for an InferencePool."""

    repository: str = Field(
        default="registry.k8s.io/gateway-api-inference-extension/epp",
        description="Registry and repository of the endpoint picker of Gateway API.",
        pattern=REPOSITORY_PATTERN,
    )
    tag: str = Field(default="v1.5.0", description="Tag.", pattern=TAG_PATTERN)


class Routing(Part):
    """What spec.endpoint.httpRoute, ingress and routing use."""

    picker_image: PickerImage = Field(
        default_factory=PickerImage,
        description="What chooses servers where spec.endpoint.routing is PrefixAware.",
    )
    gateway_namespaces: tuple[Name, ...] = Field(
        default=Settings.gateway_namespaces,
        description="Namespaces of the proxies of Gateways and ingress controllers, which may connect "
        "to servers with a route or an Ingress. Namespaces of their Gateways always may.",
    )

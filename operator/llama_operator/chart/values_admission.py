"""Values of the ValidatingAdmissionPolicy: what an author may make the operator use.

The operator acts with rights that an author need not have: it runs images, sends tokens to hubs,
mounts claims and hands over Secrets. By default a spec may name any of them; a list makes it those.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from llama_operator.chart.base import Free, Part

# A star stands at the end, behind a separator: `registry.example.com*` would also allow
# registry.example.com.evil.example.
_IMAGE = Annotated[str, Field(pattern=r"^(\*|[^*\s]*[^*\s]|[^*\s]+[/:@]\*)$")]
_ENDPOINT = Annotated[str, Field(pattern=r"^(\*|https?://[^*\s]+|https?://[^*\s]+/\*)$")]
_OBJECT = Annotated[str, Field(pattern=r"^(\*|[a-z0-9][a-z0-9.-]*|[a-z0-9][a-z0-9.-]*-\*)$")]
_GATEWAY = Annotated[str, Field(pattern=r"^(\*|[a-z0-9][a-z0-9-]*/(\*|[a-z0-9][a-z0-9.-]*))$")]
# The other way round: what a host belongs to stands at its end.
_HOST = Annotated[str, Field(pattern=r"^(\*|(\*\.)?[a-z0-9][a-z0-9.-]*)$")]
_FORM = "A star at the end stands for anything; only a star: no limit; no entry: none may be named."


class AdmissionPolicy(Part):
    """What authors may name."""

    enabled: bool = Field(
        default=False,
        description="Make the policies and their bindings; at least one of the lists below must limit "
        "something.",
    )
    action: Literal["Deny", "Warn", "Audit"] = Field(
        default="Deny", description="What happens to a spec that names something else."
    )
    namespace_selector: Free = Field(
        default={}, description="Labels of the namespaces that are bound; empty: all."
    )
    images: tuple[_IMAGE, ...] = Field(
        default=("*",),
        description=f"Images that spec.engine.image may name, such as vllm/vllm-openai:*. {_FORM}",
    )
    endpoints: tuple[_ENDPOINT, ...] = Field(
        default=("*",),
        description="Hubs that spec.source.huggingFace.endpoint may name. The token of the "
        f"namespace's Secret is sent there. {_FORM}",
    )
    collectors: tuple[_ENDPOINT, ...] = Field(
        default=("*",),
        description="Collectors that spec.observability.otlpEndpoint may name. Prompts can be read "
        f"from traces. {_FORM}",
    )
    claims: tuple[_OBJECT, ...] = Field(
        default=("*",),
        description="PersistentVolumeClaims that spec.storage.claimName and "
        f"spec.source.claim.name may name, such as llama-*. {_FORM}",
    )
    secrets: tuple[_OBJECT, ...] = Field(
        default=("*",),
        description="Secrets that a spec may name, such as hf-*: spec.engine.env, "
        "spec.engine.imagePullSecrets, spec.auth.secretName, spec.endpoint.ingress.tlsSecretName, "
        f"tokenSecretRef and urlSecretRef of spec.source. {_FORM}",
    )
    gateways: tuple[_GATEWAY, ...] = Field(
        default=("*",),
        description="Gateways that spec.endpoint.httpRoute.parentRefs may name, as NAMESPACE/NAME, such "
        f"as infra/*. Their namespaces may connect to the servers. {_FORM}",
    )
    hosts: tuple[_HOST, ...] = Field(
        default=("*",),
        description="Hosts that spec.endpoint.httpRoute.hostnames and spec.endpoint.ingress.host may "
        "name, such as llama.example.com or *.llama.example.com; a route without hostnames is for any. "
        "A star as the first label stands for any below; only a star: no limit; no entry: none may be "
        "named.",
    )
    device_classes: tuple[_OBJECT, ...] = Field(
        default=("*",),
        description="DeviceClasses that spec.gpu.deviceClassName may name, such as gpu.nvidia.com. "
        f"{_FORM}",
    )

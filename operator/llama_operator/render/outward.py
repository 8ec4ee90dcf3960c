"""How pods reach what is outside of the cluster: proxy, trusted authorities, mirror of images.

An organisation has one way out, so these are settings of the operator and hold for every pod that
it makes; a spec may name another CA bundle for its Jobs, another image, and other variables.
"""

from __future__ import annotations

import re

from llama_operator.api.v1alpha1_weights import CaBundle
from llama_operator.render.inputs import Object, Settings

CA_MOUNT, CA_FILE = "/etc/llama-ca", "ca.crt"
# The API server by its address, which every pod knows, and all names of the cluster.
_INSIDE = ("localhost", "127.0.0.1", "::1", ".svc", ".cluster.local", "$(KUBERNETES_SERVICE_HOST)")
_REGISTRY = re.compile(r"^([^/]*[.:][^/]*|localhost)/")


def proxy_env(settings: Settings) -> list[Object]:
    """Proxy variables; none without a proxy."""
    found = {"HTTP_PROXY": settings.http_proxy, "HTTPS_PROXY": settings.https_proxy}
    found = {name: value for name, value in found.items() if value}
    if found:
        found["NO_PROXY"] = ",".join(dict.fromkeys((*_INSIDE, *settings.no_proxy)))
    return [{"name": name, "value": value} for name, value in found.items()]


def ca_env(bundle: CaBundle | None, *names: str) -> list[Object]:
    """Variables that name the bundle's file."""
    return [{"name": name, "value": f"{CA_MOUNT}/{CA_FILE}"} for name in names if bundle]


def ca_mounts(bundle: CaBundle | None) -> list[Object]:
    """Where a container sees the bundle."""
    return [{"name": "ca", "mountPath": CA_MOUNT, "readOnly": True}] if bundle else []


def ca_volumes(bundle: CaBundle | None) -> list[Object]:
    """The bundle as a volume of a pod."""
    if not bundle:
        return []
    items = [{"key": bundle.key, "path": CA_FILE}]
    return [{"name": "ca", "configMap": {"name": bundle.config_map_name, "items": items}}]


def mirrored(image: str, registry: str) -> str:
    """An image as a mirror has it: the same path below another registry."""
    return f"{registry}/{_REGISTRY.sub('', image)}" if registry else image

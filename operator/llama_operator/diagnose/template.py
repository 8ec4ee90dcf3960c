"""Which pods are of the present template of a Deployment."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from llama_operator.api import labels
from llama_operator.api.template import server_template

Object = dict[str, Any]


def of_template(pods: Iterable[Object], server: Object | None) -> list[Object]:
    """Pods of the present template: what an old one died of may be why the spec was changed."""
    wanted = stamp(server_template(server))
    return [pod for pod in pods if stamp(pod) == wanted]


def stamp(obj: Object | None) -> str:
    """What tells templates apart, and pods by their template."""
    annotations = (obj or {}).get("metadata", {}).get("annotations", {})
    return str(annotations.get(labels.INTENT_HASH, ""))

"""Which copy a server mounts.

A spec says which copy a deployment wants; what its servers run from may still be the one before,
for as long as the new one is fetched. A copy is free only when neither holds it.
"""

from __future__ import annotations

from typing import Any

from llama_operator.api.template import server_template
from llama_operator.render.pod import WEIGHTS

Object = dict[str, Any]


def of_weights(raw: Object) -> str:
    """Where a LlamaWeights lies, as an index value; empty until it has a place."""
    status = raw.get("status", {})
    claim, path = status.get("claimName", ""), status.get("path", "")
    # The files of a user may lie at the root of a claim, whose path is empty.
    known = claim and "path" in status
    return f"{raw['metadata']['namespace']}/{claim}/{path}" if known else ""


def of_server(server: Object) -> list[str]:
    """The copy that a server's pods mount, as an index value."""
    template = server_template(server)
    pod = template.get("spec", {})
    paths = [
        mount.get("subPath", "")
        for container in pod.get("containers", ())
        for mount in container.get("volumeMounts", ())
        if mount["name"] == WEIGHTS
    ]
    namespace = server["metadata"]["namespace"]
    return [f"{namespace}/{claim}/{path}" for claim in claims(template) for path in paths]


def claims(template: Object) -> list[str]:
    """The claim that the copy lies on, of a template that mounts one."""
    return [
        volume["persistentVolumeClaim"]["claimName"]
        for volume in template.get("spec", {}).get("volumes", ())
        if volume["name"] == WEIGHTS and "persistentVolumeClaim" in volume
    ]

"""The Deployment of one-node servers."""

from __future__ import annotations

from llama_operator.api import labels
from llama_operator.render import group, probes
from llama_operator.render.inputs import Object, Replacing, Serving
from llama_operator.render.meta import selector

# Beyond a start: until a node is there and the image is on it.
SPARE_SECONDS = 600


def deployment(serving: Serving, template: Object, how: Replacing) -> Object:
    """A Deployment whose pods are replaced as the rollout says."""
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": group.set_metadata(serving, how),
        "spec": {
            "replicas": serving.spec.replicas,
            "revisionHistoryLimit": 2,
            "progressDeadlineSeconds": probes.allowed_seconds(template) + SPARE_SECONDS,
            "selector": {"matchLabels": selector(serving.owner, labels.SERVER)},
            "strategy": {
                "type": "RollingUpdate",
                "rollingUpdate": {"maxSurge": how.surge, "maxUnavailable": how.unavailable},
            },
            "template": template,
        },
    }

"""The Deployment of one-node servers."""

from __future__ import annotations

from llama_operator.api import labels
from llama_operator.render import pod, probes
from llama_operator.render.inputs import Object, Serving
from llama_operator.render.meta import metadata, selector, stamped


def deployment(serving: Serving, template: Object | None = None) -> Object:
    """A Deployment that replaces its pods in place: a surge pod would wait for GPUs for ever."""
    template = template or stamped(pod.template(serving))
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata(serving.owner, serving.owner.name, labels.SERVER),
        "spec": {
            "replicas": serving.spec.replicas,
            "revisionHistoryLimit": 2,
            "progressDeadlineSeconds": probes.allowed_seconds(template) + 600,
            "selector": {"matchLabels": selector(serving.owner, labels.SERVER)},
            "strategy": {
                "type": "RollingUpdate",
                "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1},
            },
            "template": template,
        },
    }

"""The Deployment of one-node servers."""

from __future__ import annotations

from llama_operator.api import labels
from llama_operator.render import pod, probes
from llama_operator.render.inputs import Object, Replacing, Serving
from llama_operator.render.meta import metadata, selector, stamped


def deployment(serving: Serving, template: Object | None, how: Replacing) -> Object:
    """A Deployment whose pods are replaced as the rollout says."""
    template = template or stamped(pod.template(serving))
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": _metadata(serving, how),
        "spec": {
            "replicas": serving.spec.replicas,
            "revisionHistoryLimit": 2,
            "progressDeadlineSeconds": probes.allowed_seconds(template) + 600,
            "selector": {"matchLabels": selector(serving.owner, labels.SERVER)},
            "strategy": {
                "type": "RollingUpdate",
                "rollingUpdate": {"maxSurge": how.surge, "maxUnavailable": how.unavailable},
            },
            "template": template,
        },
    }


def _metadata(serving: Serving, how: Replacing) -> Object:
    meta = metadata(serving.owner, serving.owner.name, labels.SERVER)
    return {**meta, "annotations": {labels.ROLLOUT: how.record}} if how.record else meta

"""One server of a new revision beside those of the present one, with a Service of its own.

Its pods are of another component: neither the Deployment of the others nor their Service, which is
the address inside the cluster, may take them for its own. All else of the template is to the letter
what the others would get.
"""

from __future__ import annotations

from llama_operator.api import labels
from llama_operator.render import deployment, network
from llama_operator.render.inputs import Object, Replacing, Serving
from llama_operator.render.meta import selector

# Its GPUs were counted for one server: an old one stops before a new one starts.
_ALONE = Replacing(surge=0, unavailable=1)


def name_of(owner: str) -> str:
    """Name of its Deployment and of its Service."""
    return f"{owner}-canary"


def template(whole: Object) -> Object:
    """The template of a revision for its canary; the stamp of the revision stays on it."""
    meta = whole["metadata"]
    own = {**meta["labels"], labels.COMPONENT: labels.TRIED}
    return {**whole, "metadata": {**meta, "labels": own}}


def objects(serving: Serving) -> list[Object]:
    """Service and Deployment, where one is to run."""
    canary = serving.canary
    if canary is None or not canary.template:
        return []
    made = deployment.deployment(serving, template(canary.template), _ALONE)
    service, pods = network.service(serving), selector(serving.owner, labels.TRIED)
    one = {"replicas": 1, "selector": {"matchLabels": pods}}
    return [
        {**service, **_named(service, serving), "spec": {**service["spec"], "selector": pods}},
        {**made, **_named(made, serving), "spec": {**made["spec"], **one}},
    ]


def _named(obj: Object, serving: Serving) -> Object:
    meta = obj["metadata"]
    own = {**meta["labels"], labels.COMPONENT: labels.TRIED}
    return {"metadata": {**meta, "name": name_of(serving.owner.name), "labels": own}}

"""GPUs by dynamic resource allocation: a template of which each pod of a server gets a claim of its own.

The spec of a ResourceClaimTemplate can never change, so its name follows from it: servers whose GPUs
stay the same keep theirs, whatever else changes. Pods carry that spec, so that a template can be made
again for a revision that was kept, or for servers that are there.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from llama_operator.api import labels
from llama_operator.render.inputs import Object, Owner, Serving
from llama_operator.render.meta import hashed_name, metadata

API_VERSION = "resource.k8s.io/v1"
KIND = "ResourceClaimTemplate"
# Of the claim within its pod, and of the one request within the claim.
CLAIM = REQUEST = "gpus"
# Drivers tell the name of the card (NVIDIA and AMD under this name), and labels of nodes the same with
# dashes. A device that tells none is not left out: then the class alone says which devices are meant.
_PRODUCT = "productName"
_OF_PRODUCT = (
    "!('{name}' in device.attributes[device.driver]) || "
    "device.attributes[device.driver].{name}.replace(' ', '-') == {product}"
)


def class_of(template: Object) -> str:
    """The DeviceClass that pods of a template claim devices of; "" for none."""
    return str(_exactly(template).get("deviceClassName", ""))


def count_of(template: Object) -> int:
    """How many devices one pod of a template claims."""
    return int(_exactly(template).get("count", 0))


def in_pod(serving: Serving) -> Object:
    """The part of a pod's spec that claims devices."""
    if not serving.spec.gpu.device_class_name:
        return {}
    named = {"name": CLAIM, "resourceClaimTemplateName": _name(serving.owner, _spec(serving))}
    return {"resourceClaims": [named]}


def in_container(serving: Serving) -> Object:
    """The part of a container's resources that gives it the claimed devices."""
    return {"claims": [{"name": CLAIM}]} if serving.spec.gpu.device_class_name else {}


def carried(serving: Serving) -> dict[str, str]:
    """What pods carry: the claim that they are to get."""
    if not serving.spec.gpu.device_class_name:
        return {}
    text = json.dumps(_spec(serving), sort_keys=True, separators=(",", ":"))
    return {labels.DEVICE_CLAIM: text}


def templates(owner: Owner, of_pods: Iterable[Object]) -> list[Object]:
    """The ResourceClaimTemplates that these templates of pods name, each once."""
    specs = [spec for spec in map(_carried_by, of_pods) if spec]
    made = {_name(owner, spec): spec for spec in specs}
    return [
        {
            "apiVersion": API_VERSION,
            "kind": KIND,
            "metadata": metadata(owner, name, labels.DEVICES),
            "spec": spec,
        }
        for name, spec in made.items()
    ]


def _name(owner: Owner, spec: Object) -> str:
    return hashed_name(owner.name, CLAIM, {"spec": spec})


def _spec(serving: Serving) -> Object:
    gpu, plan = serving.spec.gpu, serving.plan
    wanted: Object = {
        "deviceClassName": gpu.device_class_name,
        "allocationMode": "ExactCount",
        "count": plan.gpus // plan.nodes,
    }
    # As with labels of nodes: where the memory is given, the product is not known.
    product = plan.gpu_product if serving.spec.engine.device == "cuda" and not gpu.memory else ""
    if product:
        # What users write there is text to CEL, whatever it is.
        text = _OF_PRODUCT.format(name=_PRODUCT, product=json.dumps(product))
        wanted["selectors"] = [{"cel": {"expression": text}}]
    return {"spec": {"devices": {"requests": [{"name": REQUEST, "exactly": wanted}]}}}


def _carried_by(template: Object) -> Object:
    text = template.get("metadata", {}).get("annotations", {}).get(labels.DEVICE_CLAIM, "")
    return dict(json.loads(text)) if text else {}


def _exactly(template: Object) -> Object:
    requests = _carried_by(template).get("spec", {}).get("devices", {}).get("requests", ())
    first: Object = next(iter(requests), {})
    return dict(first.get("exactly", {}))

"""A Job that ends at once: it brings images to a node before a server there makes way for their sake.

The kubelet pulls whatever a pod of the node asks for, so this needs no right on the node, and what it
asks for besides is next to nothing: no GPU, no volume, no token.
"""

from __future__ import annotations

from collections.abc import Iterable

from llama_operator.api import labels
from llama_operator.api.template import WORKER
from llama_operator.render.inputs import Object, Owner
from llama_operator.render.meta import hashed_name, metadata, stamped
from llama_operator.render.pod import container_security

# What is on the node already takes a second, and this is not waited for.
_NEXT_TO_NOTHING: Object = {
    "requests": {"cpu": "10m", "memory": "16Mi"},
    "limits": {"cpu": "100m", "memory": "64Mi"},
}
# Of the servers' own: whoever may run there, and pull there, as they do.
_SAME = ("tolerations", "imagePullSecrets", "runtimeClassName", "securityContext")


def images(template: Object) -> set[str]:
    """The images that pods of a template need, those of all ranks of a group."""
    parts = [template.get("spec", {}), template.get(WORKER, {}).get("spec", {})]
    return {
        each["image"]
        for part in parts
        for each in (*part.get("initContainers", ()), *part.get("containers", ()))
    }


def job(owner: Owner, template: Object, node: str, wanted: Iterable[str]) -> Object:
    """The Job for one node; another list of images is another Job."""
    names = sorted(wanted)
    name = hashed_name(owner.name, "pull", {"node": node, "images": names})
    meta = _metadata(owner, name)
    spec = {
        "backoffLimit": 0,
        "template": {
            "metadata": {"labels": meta["labels"]},
            "spec": _pod_spec(template, node, names),
        },
    }
    return stamped({"apiVersion": "batch/v1", "kind": "Job", "metadata": meta, "spec": spec})


def _pod_spec(template: Object, node: str, names: list[str]) -> Object:
    return {
        **{key: template["spec"][key] for key in _SAME if key in template["spec"]},
        "affinity": {"nodeAffinity": _only(node)},
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "restartPolicy": "Never",
        "containers": [_container(number, image) for number, image in enumerate(names)],
    }


def _metadata(owner: Owner, name: str) -> Object:
    meta = metadata(owner, name, labels.PULL)
    own = {**meta["labels"], labels.PULLS_FOR: owner.name}
    del own[labels.DEPLOYMENT]
    return {**meta, "labels": own}


def _only(node: str) -> Object:
    """By the scheduler, which minds taints and what else keeps pods away; `nodeName` would not."""
    here = {"key": "metadata.name", "operator": "In", "values": [node]}
    terms = [{"matchFields": [here]}]
    return {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}


def _container(number: int, image: str) -> Object:
    return {
        "name": f"image-{number}",
        "image": image,
        "command": ["true"],
        "resources": _NEXT_TO_NOTHING,
        "securityContext": container_security(),
    }

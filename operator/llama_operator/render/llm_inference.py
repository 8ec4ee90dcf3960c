"""A server behind KServe: one LLMInferenceService whose pods are of our own template.

KServe lays the LLMInferenceService over a pod of its own, field by field, and makes a Deployment
`<name>-kserve` of that, a Service, and an HTTPRoute at its Gateway. Our container has the name of
KServe's, so what ours says counts; all else of KServe's pod stays beside it (docs/kserve.md).

KServe writes the labels that are asked for into the selector of its Deployment as well, which never
changes: only those that are the same for good are asked for.
"""

from __future__ import annotations

from llama_operator.api import gotemplate, labels
from llama_operator.api.template import LLM_CONTAINER, LLM_INFERENCE
from llama_operator.render import flags, group, pod, starting
from llama_operator.render.inputs import Object, Replacing, Serving
from llama_operator.render.meta import child_labels, selector, stamped

API_VERSION = "serving.kserve.io/v1alpha2"
# KServe's route by header asks servers for a second name, which ours do not answer to.
BY_HEADER = "serving.kserve.io/model-based-routing-enabled"
_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
# From so many on, the strategy of KServe's Deployment lets one stop before a new one is ready.
_LETS_ONE_STOP = 4


def template(serving: Serving) -> Object:
    """The template of the pods, with its stamp."""
    whole = pod.template(serving)
    (engine,) = whole["spec"]["containers"]
    engine = starting.without_variable({**engine, "name": LLM_CONTAINER})
    return stamped({**whole, "spec": {**whole["spec"], "containers": [engine]}})


def llm_inference_service(serving: Serving, template: Object, how: Replacing) -> Object:
    """The LLMInferenceService."""
    own = child_labels(serving.owner, labels.SERVER)
    del own[labels.NAME]  # KServe selects by its own value of this one
    spec = {
        "model": {"uri": _uri(template), "name": flags.served_name(serving)},
        # The pod mounts that very claim itself, and a kubelet starts no pod that mounts one twice.
        "storageInitializer": {"enabled": False},
        "replicas": _count(serving.spec.replicas, how),
        "labels": own,
        "annotations": {**template["metadata"]["annotations"], BY_HEADER: "false"},
        "template": _lasting(serving, template["spec"]),
        "router": {"route": {}, "gateway": {}},
    }
    return {
        "apiVersion": API_VERSION,
        "kind": LLM_INFERENCE,
        "metadata": group.set_metadata(serving, how),
        "spec": gotemplate.escaped(spec),
    }


def _uri(template: Object) -> str:
    """The copy that the pods mount, as KServe writes a place on a claim."""
    (claim,) = (
        volume["persistentVolumeClaim"]["claimName"]
        for volume in template["spec"]["volumes"]
        if volume["name"] == pod.WEIGHTS
    )
    (engine,) = template["spec"]["containers"]
    (path,) = (
        each.get("subPath", "") for each in engine["volumeMounts"] if each["name"] == pod.WEIGHTS
    )
    return f"pvc://{claim}/{path}"


def _count(replicas: int, how: Replacing) -> int:
    """How many servers KServe is asked for.

    Its Deployment starts a new server before it stops one, if there are few, and waits for ever where
    there is no room for that. So one is given up, or all, until the old ones are gone.
    """
    if not how.older or how.surge:
        return replicas
    if how.unavailable == "100%":
        return 0
    return replicas - 1 if 0 < replicas < _LETS_ONE_STOP else replicas


def _lasting(serving: Serving, spec: Object) -> Object:
    """A pod's spec in which pods stay together by a label that they have from the start."""
    terms = spec.get("affinity", {}).get("podAffinity", {}).get(_REQUIRED)
    if not terms:
        return spec
    mine = {"matchLabels": selector(serving.owner, labels.SERVER)}
    kept = [{**each, "labelSelector": mine} if _by_volume(each) else each for each in terms]
    together = {**spec["affinity"]["podAffinity"], _REQUIRED: kept}
    return {**spec, "affinity": {**spec["affinity"], "podAffinity": together}}


def _by_volume(term: Object) -> bool:
    return labels.VOLUME in term.get("labelSelector", {}).get("matchLabels", {})

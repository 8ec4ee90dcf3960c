"""A revision: what one spec was resolved to, kept so that nothing but the spec changes a server.

A new operator renders other pods, a new catalogue plans other layouts, nodes come and go with their
labels. None of that may restart a server that somebody relies on, so the plan and the whole pod
template are written down once, under a name that follows from the spec alone.
"""

from __future__ import annotations

from typing import Any

from llama_operator.api import labels
from llama_operator.api.template import LLM_INFERENCE
from llama_operator.api.v1alpha1 import LlamaDeploymentSpec
from llama_operator.api.wire import as_dict
from llama_operator.render import group, kserve, llm_inference, pod
from llama_operator.render.inputs import Copy, Object, Serving
from llama_operator.render.meta import digest, metadata, stamped

# Fields that change no pod. Those of the weights are represented by the copy that is mounted.
_RESTARTS_NOTHING = (
    *("replicas", "paused", "disruption", "source", "storage", "retention", "weightsRef"),
    *("rollout", "autoscaling", "adapters"),
)
# Of the endpoint what is made beside servers.
_BESIDE_SERVERS = ("networkPolicy", "routing", "httpRoute", "ingress")


def inputs_of(spec: LlamaDeploymentSpec, weights: Copy) -> str:
    """10 hex digits of all that needs a restart when it changes, defaults left out.

    Defaults count as not written, so that a newer CRD with more of them changes nothing.
    """
    wished = {key: value for key, value in as_dict(spec).items() if key not in _RESTARTS_NOTHING}
    if not spec.lora.enabled:
        wished.pop("lora", None)
    if wished.pop("podMetadata", {}).get("annotations"):
        # Labels are given to pods that run.
        wished["podMetadata"] = {"annotations": dict(spec.pod_metadata.annotations)}
    written = wished.get("endpoint", {})
    endpoint = {key: value for key, value in written.items() if key not in _BESIDE_SERVERS}
    wished |= _cache(spec, wished.pop("compileCache", {}))
    mounted = {"claim": weights.claim, "path": weights.path}
    return digest({**wished, "endpoint": endpoint, "weights": mounted})


def _cache(spec: LlamaDeploymentSpec, written: dict[str, Any]) -> dict[str, Any]:
    """The compile cache, where servers use one; how large it is changes none of them."""
    if not spec.compile_cache.enabled or spec.compile_cache.storage is None:
        return {}
    place = {key: value for key, value in written["storage"].items() if key != "size"}
    return {"compileCache": place}


def revision_name(name: str, inputs: str) -> str:
    """Name of the ControllerRevision."""
    return f"{name}-{inputs}"


def template(serving: Serving) -> Object:
    """The template of the pods, or of a group of them, with its stamp."""
    if serving.plan.nodes > 1:
        return group.template(serving)
    if serving.spec.backend != "kserve":
        return stamped(pod.template(serving))
    llm = serving.spec.kserve.resource == LLM_INFERENCE
    return llm_inference.template(serving) if llm else kserve.template(serving)


def content(serving: Serving) -> Object:
    """What is kept: the plan, the image, and the template of the pods."""
    return {
        "image": serving.image,
        "vllmVersion": serving.vllm_version,
        "plan": serving.plan.to_data(),
        "template": template(serving),
    }


def controller_revision(serving: Serving, name: str, number: int, data: Any) -> Object:
    """The object that keeps it; `number` counts the revisions of a deployment."""
    return stamped(
        {
            "apiVersion": "apps/v1",
            "kind": "ControllerRevision",
            "metadata": metadata(serving.owner, name, labels.REVISION),
            "revision": number,
            "data": data,
        }
    )

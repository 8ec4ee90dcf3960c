"""The only way in: every object that the operator writes comes from here."""

from __future__ import annotations

from llama_operator.api.template import (
    GROUP_SET,
    INFERENCE,
    LLM_INFERENCE,
    SERVER,
    is_group,
    kind_of,
)
from llama_operator.render import (
    access,
    activator,
    canary,
    claim,
    compile_cache,
    deployment,
    devices,
    group,
    jobs,
    kserve,
    llm_inference,
    network,
    revision,
    routes,
    scalers,
)
from llama_operator.render.inputs import Fetching, Object, Replacing, Serving
from llama_operator.render.meta import stamped

_IN_PLACE = Replacing()
_MAKERS = {
    SERVER: deployment.deployment,
    GROUP_SET: group.group_set,
    INFERENCE: kserve.inference_service,
    LLM_INFERENCE: llm_inference.llm_inference_service,
}


def serving_objects(
    serving: Serving, template: Object | None = None, how: Replacing = _IN_PLACE
) -> list[Object]:
    """The children of a LlamaDeployment, in the order in which they are to be made.

    `template` is that of a revision that was kept; without one it is rendered.

    The Secret with the API key is not among them: its content is random (`render.secret`).
    """
    template = template or revision.template(serving)
    grouped = is_group(template)
    objects = [*network.objects(serving, grouped=grouped or serving.grouped)]
    make = _MAKERS[kind_of(template)]
    objects += devices.templates(serving.owner, [template, *_tried(serving)])
    objects += [*_caches(serving, template), make(serving, template, how)]
    objects += canary.objects(serving)
    if serving.to_zero:
        objects += activator.objects(serving, template)
    # Routes last: what refuses one of them must keep no server from being made.
    objects += [*scalers.scalers(serving), *routes.objects(serving)]
    return [stamped(obj) for obj in objects]


def _caches(serving: Serving, template: Object) -> list[Object]:
    """The claim of the compile cache, where the servers or only the canary among them mount it."""
    claims = compile_cache.claims(serving, template)
    return claims or [
        each for tried in _tried(serving) for each in compile_cache.claims(serving, tried)
    ]


def _tried(serving: Serving) -> list[Object]:
    """The template of a canary, where one is to run."""
    return [serving.canary.template] if serving.canary and serving.canary.template else []


def preflight_objects(fetching: Fetching) -> list[Object]:
    """What asks the source whether and what it serves."""
    return [stamped(jobs.preflight(fetching))]


def claim_objects(fetching: Fetching) -> list[Object]:
    """The claim of a copy, unless the user names one."""
    named = fetching.spec.storage and fetching.spec.storage.claim_name
    return [] if named or not fetching.claim else [stamped(claim.claim(fetching))]


def verify_objects(fetching: Fetching, digest: str, since: str) -> list[Object]:
    """What reads a finished copy again."""
    rights = [stamped(obj) for obj in access.access(fetching)]
    return [*rights, stamped(jobs.verify(fetching, digest, since))]


def fetch_objects(fetching: Fetching) -> list[Object]:
    """What brings the files: rights, the claim, and the Job last."""
    rights = [stamped(obj) for obj in access.access(fetching)]
    return [*rights, *claim_objects(fetching), stamped(jobs.fetch(fetching))]

"""Parts of a status that judge nothing: what there is, where it is reached, and its revisions."""

from __future__ import annotations

from llama_operator.api.conditions import Condition
from llama_operator.diagnose.template import stamp
from llama_operator.reconcile import kserve, revisions, routing
from llama_operator.reconcile.course import Course
from llama_operator.reconcile.decide import Decision
from llama_operator.reconcile.snapshot import DeploymentView, Object
from llama_operator.render import secret
from llama_operator.render.weights import weights_name


def revision(view: DeploymentView, decision: Decision, conditions: list[Condition]) -> Object:
    """`current` is `update` once every server is of it, until then what still answers."""
    update = decision.revision
    rolled = any(each.reason == "RolloutComplete" for each in conditions)
    current = update if rolled else revisions.serving_now(view, update)
    old = view.raw.get("status", {}).get("revision", {}).get("lastGood", "")
    named = {
        "update": update,
        "current": current,
        "lastGood": update if rolled and view.spec.replicas else _good(view, decision, old),
        "rejected": _rejected(decision.course, update),
    }
    return {key: name for key, name in named.items() if name}


def _good(view: DeploymentView, decision: Decision, old: str) -> str:
    """The last good one: that which servers stay at, else that which they could go back to."""
    course = decision.course
    stays = revisions.of_stamp(view, stamp(course.template)) if course else ""
    kept = course.record if course else None
    return old if old == stays else (kept.last_good if kept else "") or old


def _rejected(course: Course | None, update: str) -> str:
    kept = course.record if course else None
    return update if kept and kept.rejected == update else ""


def counts(server: Object | None, course: Course | None) -> Object:
    """How many servers there are, answer, and are of this revision; a canary is none of them."""
    live = (server or {}).get("status", {})
    names = ("replicas", "readyReplicas", "updatedReplicas")
    found = {name: int(live.get(name, 0)) for name in names}
    return found | ({"updatedReplicas": 0} if course and course.canary else {})


def weights(view: DeploymentView) -> Object:
    """Which copy servers mount, and its digest."""
    digest = (view.weights or {}).get("status", {}).get("digest", "")
    name = weights_name(view.spec) if view.weights or view.spec.weights_ref else ""
    return {"name": name, "digest": digest}


def endpoint(view: DeploymentView) -> Object:
    """Where servers are reached, from inside and outside, under which name and key."""
    spec, owner = view.spec, view.owner
    host, outside = f"{owner.name}.{owner.namespace}.svc", routing.external_url(view)
    return {
        "url": f"http://{host}:{spec.endpoint.port}/v1",
        **kserve.endpoint(view),
        "servedModelName": spec.endpoint.served_model_name or spec.model,
        "secretName": secret.secret_name(owner.name, spec) if spec.auth.mode == "APIKey" else "",
        **({"externalURL": outside} if outside else {}),
    }

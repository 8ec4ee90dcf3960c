"""Images are on the nodes before servers there stop for their sake: pure.

A server that stops before the new one can start is missed for as long as its image takes to come,
minutes for ten gigabytes, and for good where it cannot be pulled at all. Where the new one starts
beside it, nobody waits for an image.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from llama_operator.api.conditions import find
from llama_operator.diagnose import pods
from llama_operator.diagnose.template import stamp
from llama_operator.reconcile import revisions
from llama_operator.reconcile.actions import Action, Apply
from llama_operator.reconcile.holders import answers
from llama_operator.reconcile.ownership import delete, leaves
from llama_operator.reconcile.snapshot import DeploymentView, Object
from llama_operator.render import puller

# An image that cannot be pulled for so long is given up, and a pod that no node takes.
FAILING_SECONDS = 600.0
# One that is still being pulled then is pulled by the server itself.
LIMIT_SECONDS = 3600.0
_UNABLE = "ImagePullFailed"


@dataclass(frozen=True)
class Pulling:
    """Pods that bring images, by name, and what is to be said of them."""

    wanted: Mapping[str, Object]
    text: str
    again: float
    # Why one of them does not come, a reason of `Degraded` and a sentence; and for too long.
    unable: tuple[str, str] | None = None
    over: bool = False

    @property
    def given_up(self) -> tuple[str, str] | None:
        """Why it is not waited for any longer; None while it is."""
        return self.unable if self.over else None


def due(view: DeploymentView, template: Object) -> Pulling | None:
    """What servers of a template need on the nodes of those that answer; None when it is there."""
    wanted = _wanted(view, template)
    there = {pod["metadata"]["name"]: pod for pod in view.pulls}
    waited = {name: there.get(name) for name in wanted if not _done(view, there.get(name))}
    if not waited or _refused(view, waited):
        return None
    causes = [pods.cause(pod) for pod in waited.values() if pod]
    unable = next((each for each in causes if each and each.reason == _UNABLE), None)
    ages = [_age(view, pod) for pod in waited.values()]
    why = (unable.reason, unable.message) if unable else None
    over = max(ages) >= FAILING_SECONDS
    return Pulling(wanted, _text(waited.keys(), wanted), _again(ages), why, over)


def _wanted(view: DeploymentView, template: Object) -> dict[str, Object]:
    needs: dict[str, set[str]] = {}
    for pod in _in_the_way(view, template):
        lacking = puller.images(template) - _images_of(view, pod)
        if lacking:
            needs.setdefault(pod["spec"]["nodeName"], set()).update(lacking)
    made = [puller.pod(view.owner, template, node, needs[node]) for node in sorted(needs)]
    return {each["metadata"]["name"]: each for each in made}


def _in_the_way(view: DeploymentView, template: Object) -> list[Object]:
    """Servers of other templates that are on a node; none where nobody would miss them."""
    old = [pod for pod in view.pods if stamp(pod) != stamp(template) and not leaves(pod)]
    if not any(map(answers, old)):
        return []
    ranks = [pod for pod in view.ranks if stamp(pod) != stamp(template) and not leaves(pod)]
    return [pod for pod in (*old, *ranks) if pod.get("spec", {}).get("nodeName")]


def _images_of(view: DeploymentView, pod: Object) -> set[str]:
    kept = revisions.find(view, revisions.of_stamp(view, stamp(pod)))
    return puller.images(kept.template) if kept else set()


def _done(view: DeploymentView, pod: Object | None) -> bool:
    """Whether it is not waited for: it ran, or it never will."""
    if pod is None:
        return False
    if pod.get("status", {}).get("phase") in ("Succeeded", "Failed"):
        return True
    held, age = pods.cause(pod), _age(view, pod)
    elsewhere = held is not None and held.reason != _UNABLE and age >= FAILING_SECONDS
    return elsewhere or age >= LIMIT_SECONDS


def _refused(view: DeploymentView, names: Iterable[str]) -> bool:
    """Whether Kubernetes would not make one: a quota or a policy must not hold a rollout up."""
    told = find(view.raw.get("status", {}).get("conditions", ()), "Degraded") or {}
    message = told.get("message", "") if told.get("status") == "True" else ""
    there = {pod["metadata"]["name"] for pod in view.pulls}
    return any(name in message for name in names if name not in there)


def _age(view: DeploymentView, pod: Object | None) -> float:
    made = (pod or {}).get("metadata", {}).get("creationTimestamp")
    return (view.world.now - datetime.fromisoformat(made)).total_seconds() if made else 0.0


def _again(ages: list[float]) -> float:
    """When to look again, where Kubernetes says nothing new."""
    limits = (FAILING_SECONDS, LIMIT_SECONDS)
    return max(1.0, min(limit - age for age in ages for limit in limits if limit > age))


def _text(names: Collection[str], wanted: Mapping[str, Object]) -> str:
    images = {box["image"] for name in names for box in wanted[name]["spec"]["containers"]}
    many = f"{len(names)} nodes" if len(names) > 1 else "its node"
    listed = ", ".join(sorted(images))
    return f"Image {listed} is brought to {many} before a server stops for it; servers go on"


# -- actions --------------------------------------------------------------------------------------


def actions(view: DeploymentView, pulling: Pulling | None) -> list[Action]:
    """Make the pods that are missing, and remove those that are of no use any more."""
    wanted = pulling.wanted if pulling else {}
    there = {pod["metadata"]["name"] for pod in view.pulls}
    spare = [pod for pod in view.pulls if pod["metadata"]["name"] not in wanted and not leaves(pod)]
    missing = [obj for name, obj in wanted.items() if name not in there]
    return [*map(Apply, missing), *map(delete, spare)]

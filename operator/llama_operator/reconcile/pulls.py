"""Images are on the nodes before servers there stop for their sake: pure.

A server that stops before the new one can start is missed for as long as its image takes to come,
minutes for ten gigabytes, and for good where it cannot be pulled at all. Where the new one starts
beside it, nobody waits for an image.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from llama_operator.api import labels
from llama_operator.api.conditions import find
from llama_operator.diagnose import pods
from llama_operator.diagnose.pods import Cause
from llama_operator.diagnose.template import stamp
from llama_operator.reconcile import revisions
from llama_operator.reconcile.actions import Action, Apply
from llama_operator.reconcile.holders import answers
from llama_operator.reconcile.ownership import delete, jobs, leaves
from llama_operator.reconcile.snapshot import DeploymentView, Object
from llama_operator.reconcile.source import ended
from llama_operator.render import puller

# An image that cannot be pulled for so long is given up, and a pod that no node takes.
FAILING_SECONDS = 600.0
# One that is still being pulled then is pulled by the server itself.
LIMIT_SECONDS = 3600.0
# A Job that has no pod by then gets none: a quota or a policy is against it.
NOBODY_SECONDS = 60.0
_UNABLE = "ImagePullFailed"
# Kubernetes' own label of a Job's pods.
_JOB = "batch.kubernetes.io/job-name"


@dataclass(frozen=True)
class Pulling:
    """Jobs that bring images, by name, and what is to be said of them."""

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
    waited = [name for name in wanted if not _done(view, name)]
    if not waited or _refused(view, waited):
        return None
    causes = [_cause(view, name) for name in waited]
    unable = next((each for each in causes if each and each.reason == _UNABLE), None)
    ages = [_age(view, name) for name in waited]
    why = (unable.reason, unable.message) if unable else None
    return Pulling(
        wanted, _text(waited, wanted), _again(ages), why, over=max(ages) >= FAILING_SECONDS
    )


def _wanted(view: DeploymentView, template: Object) -> dict[str, Object]:
    needs: dict[str, set[str]] = {}
    for pod in _in_the_way(view, template):
        lacking = puller.images(template) - _images_of(view, pod)
        if lacking:
            needs.setdefault(pod["spec"]["nodeName"], set()).update(lacking)
    made = [puller.job(view.owner, template, node, needs[node]) for node in sorted(needs)]
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


# -- how one fares --------------------------------------------------------------------------------


def _done(view: DeploymentView, name: str) -> bool:
    """Whether it is not waited for: it ran, or it never will."""
    job = view.children.get(("Job", name))
    if job is None:
        return False
    if ended(job):
        return True
    held, age = _cause(view, name), _age(view, name)
    elsewhere = held is not None and held.reason != _UNABLE and age >= FAILING_SECONDS
    nobody = not _pods(view, name) and age >= NOBODY_SECONDS
    return elsewhere or nobody or age >= LIMIT_SECONDS


def _pods(view: DeploymentView, name: str) -> list[Object]:
    return [pod for pod in view.pulls if pod["metadata"]["labels"].get(_JOB) == name]


def _cause(view: DeploymentView, name: str) -> Cause | None:
    return pods.worst(_pods(view, name))


def _refused(view: DeploymentView, names: Iterable[str]) -> bool:
    """Whether Kubernetes would not make one: a quota or a policy must not hold a rollout up."""
    told = find(view.raw.get("status", {}).get("conditions", ()), "Degraded") or {}
    message = told.get("message", "") if told.get("status") == "True" else ""
    return any(name in message for name in names if ("Job", name) not in view.children)


def _age(view: DeploymentView, name: str) -> float:
    made = view.children.get(("Job", name), {}).get("metadata", {}).get("creationTimestamp")
    return (view.world.now - datetime.fromisoformat(made)).total_seconds() if made else 0.0


def _again(ages: list[float]) -> float:
    """When to look again, where Kubernetes says nothing new."""
    limits = (NOBODY_SECONDS, FAILING_SECONDS, LIMIT_SECONDS)
    return max(1.0, min(limit - age for age in ages for limit in limits if limit > age))


def _text(names: Collection[str], wanted: Mapping[str, Object]) -> str:
    boxes = [wanted[name]["spec"]["template"]["spec"]["containers"] for name in names]
    images = ", ".join(sorted({each["image"] for found in boxes for each in found}))
    many = f"{len(names)} nodes" if len(names) > 1 else "its node"
    return f"Image {images} is brought to {many} before a server stops for it; servers go on"


# -- actions --------------------------------------------------------------------------------------


def actions(view: DeploymentView, pulling: Pulling | None) -> list[Action]:
    """Make the Jobs that are missing, and remove those that are of no use any more."""
    wanted = pulling.wanted if pulling else {}
    there = jobs(view.children, labels.PULL)
    missing = [obj for name, obj in wanted.items() if name not in there]
    return [
        *map(Apply, missing),
        *(delete(job) for name, job in there.items() if name not in wanted),
    ]

"""Servers over several nodes: what they need in a cluster, and whether a rank was lost. Pure."""

from __future__ import annotations

from dataclasses import replace

from llama_operator.api.conditions import find
from llama_operator.api.template import is_group, size_of
from llama_operator.diagnose.pods import Cause, ended
from llama_operator.diagnose.template import of_template
from llama_operator.reconcile import resources, sets
from llama_operator.reconcile.course import Course
from llama_operator.reconcile.holders import answers
from llama_operator.reconcile.lacking import lacking
from llama_operator.reconcile.ownership import leaves
from llama_operator.reconcile.snapshot import DeploymentView, Object

INSTALL = (
    "kubectl apply --server-side -f "
    "https://github.com/kubernetes-sigs/lws/releases/download/v0.8.0/manifests.yaml"
)
# Names of its pods carry the numbers of group and rank, and a label of theirs a hash besides.
LONGEST_NAME = 46
LOST = (
    "A rank of a server over several nodes was lost, so that all ranks of that server start anew: "
    "those that are left would wait for it for ever. Other replicas go on. Why it ended stands in "
    "its log, or in the events of its node"
)


def problem(view: DeploymentView, course: Course) -> tuple[str, str] | None:
    """A reason of `Degraded`, where groups are wanted and cannot be made; None where they can."""
    if not is_group(course.template):
        return None
    if len(view.owner.name) > LONGEST_NAME:
        text = f"metadata.name: at most {LONGEST_NAME} characters for servers over several nodes"
        return "AdmissionRefused", f"{text}; make one with a shorter name, or use one node"
    missing = _missing(view)
    return ("DependencyMissing", missing) if missing else None


def _missing(view: DeploymentView) -> str:
    why = lacking(view.world.lws, resources.GROUPS, INSTALL)
    return f"The plan is for several nodes, and {why}" if why else ""


def told(view: DeploymentView, server: Object | None, cause: Cause | None) -> Cause | None:
    """The cause, in the words of a lost rank where nothing better is known of a group."""
    template = (server or {}).get("spec", {}).get("template") or {}
    if not is_group(template) or (cause is not None and cause.reason != "CrashLooping"):
        return cause
    if not (_incomplete(view, server, size_of(template)) or _still(view, server)):
        return cause
    lost = Cause("RankLost", LOST)
    return replace(cause, reason=lost.reason, message=lost.message) if cause else lost


def _incomplete(view: DeploymentView, server: Object | None, size: int) -> bool:
    """Whether a server that answered has lost a rank, its first one or another."""
    alive = [pod for pod in of_template(view.pods, server) if not leaves(pod)]
    broken = any(answers(pod) and not sets.complete(pod, view.ranks, size) for pod in alive)
    others = of_template(view.ranks, server)
    return broken or any(ended(pod) for pod in others if not leaves(pod))


def _still(view: DeploymentView, server: Object | None) -> bool:
    """Whether one was lost before, and its server has not come back."""
    status, meta = view.raw.get("status", {}), view.raw["metadata"]
    old = find(status.get("conditions", ()), "Degraded") or {}
    same_spec = old.get("observedGeneration") == meta.get("generation", 0)
    ready = int((server or {}).get("status", {}).get("readyReplicas", 0))
    return same_spec and old.get("reason") == "RankLost" and ready < view.spec.replicas

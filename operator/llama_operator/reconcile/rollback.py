"""When a new revision is given up, and where to: pure.

A revision that all servers were ready with once is never given up: what fails later is not the
change. Nor is one that only finds no node, or waits in a queue: the one before would as well.
"""

from __future__ import annotations

from collections.abc import Iterable

from llama_operator.diagnose import servers
from llama_operator.diagnose.template import of_template, stamp
from llama_operator.reconcile import revisions, turnover
from llama_operator.reconcile.holders import answers
from llama_operator.reconcile.record import Record
from llama_operator.reconcile.snapshot import DeploymentView, Object

# A reason of `Degraded` and a sentence.
Why = tuple[str, str]
_LATE = ("StartupTimeout", "No new server became ready within its startup budget")


def last_good(view: DeploymentView, server: Object, kept: Record | None) -> str:
    """The revision to go back to from one that is about to replace the present one; "" for none."""
    present = revisions.of_stamp(view, stamp(server.get("spec", {}).get("template")))
    known = _told(view).get("lastGood", "")
    answering = any(map(answers, of_template(view.pods, server)))
    if present and (answering or present == known):
        return present
    return (kept.last_good if kept else "") or str(known)


def remembered(view: DeploymentView, server: Object | None, kept: Record | None) -> Record | None:
    """The record, or what the status still tells of it where the Deployment was removed."""
    told = _told(view)
    if server is not None or not told.get("rejected"):
        return kept
    conditions = view.raw.get("status", {}).get("conditions", ())
    verdict = next((c["message"] for c in conditions if c["reason"] == "RevisionRejected"), "")
    reason = "The Deployment was removed, and made again"
    return Record(
        "InPlace",
        reason,
        last_good=told.get("lastGood", ""),
        rejected=told["rejected"],
        verdict=verdict,
    )


def proven(view: DeploymentView, kept: Record, name: str) -> bool:
    """Whether all servers were ready with this revision once."""
    return name in (_told(view).get("lastGood"), kept.last_good)


def undecided(view: DeploymentView, kept: Record, name: str) -> bool:
    """Whether a revision may still be given up, and there is one to go back to."""
    wanted = bool(kept.last_good) and view.spec.rollout.automatic_rollback
    return wanted and not proven(view, kept, name)


def cause(view: DeploymentView, server: Object, kept: Record, name: str) -> Why | None:
    """Why the revision that is being rolled out is to be given up; None while it is not."""
    return why(view, view.pods, server, view.ranks) if undecided(view, kept, name) else None


def why(
    view: DeploymentView,
    pods: Iterable[Object],
    server: Object | None,
    ranks: Iterable[Object] = (),
) -> Why | None:
    """Why none of these pods, of what makes them now, will ever answer; None while one may."""
    found = servers.worst((*pods, *ranks), server, view.logs)
    answering = any(map(answers, of_template(pods, server)))
    if found is not None and found.permanent and not answering:
        return found.reason, found.message
    late = server is not None and turnover.over_budget(view, server, (*pods, *ranks))
    if late and (found is None or found.reason != "Unschedulable"):
        return (found.reason, found.message) if found else _LATE
    return None


def verdict(name: str, why: Why, back_to: str) -> str:
    """What is said of a revision that was given up."""
    reason, message = why
    return (
        f"Revision {name} was rejected ({reason}) and the servers are of {back_to} again, until the "
        f"spec changes. {message}"
    )


def no_way_back(name: str, back_to: str) -> str:
    """What is said where there is nothing to go back to; why it fails stands in `Degraded`."""
    return (
        f"Revision {name} fails, and the weights of {back_to}, the last good one, were removed: "
        "servers stay as they are. Change the spec to what works"
    )


def _told(view: DeploymentView) -> Object:
    return dict(view.raw.get("status", {}).get("revision", {}))

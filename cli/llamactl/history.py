"""The revisions of a deployment: which are kept, what each changed, and which to go back to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from llama_operator.api import labels
from llamactl import view
from llamactl.errors import BadValueError, CliError
from llamactl.kube import Kube
from llamactl.near import or_list
from llamactl.resources import REVISIONS, WEIGHTS
from llamactl.table import Column, render
from llamactl.units import age

Object = Mapping[str, Any]
COLUMNS = (
    Column("NO", right=True),
    Column("REVISION"),
    Column("STATE"),
    Column("GPUS", right=True, optional=True),
    Column("AGE", right=True, optional=True),
    Column("CHANGE", wrap=True, least=16),
)
_STATES = {
    "rejected": "rejected",
    "current": "answers",
    "update": "rolling",
    "lastGood": "last good",
}
_WEIGHTS = "weights"
_FIRST = "the oldest that is kept"


def read(kube: Kube, name: str) -> list[dict[str, Any]]:
    """The revisions of a deployment, the newest first."""
    selector = f"{labels.DEPLOYMENT}={name},{labels.COMPONENT}={labels.REVISION}"
    found = kube.list(REVISIONS, selector=selector)
    return sorted(found, key=number, reverse=True)


def name_of(revision: Object) -> str:
    """Its name."""
    return view.name_of(revision)


def number(revision: Object) -> int:
    """Its number; later ones have higher ones."""
    return int(revision.get("revision") or 0)


def table(deployment: Object, found: Sequence[Object], width: int) -> str:
    """The revisions as a table."""
    older: list[Object | None] = [*found[1:], None]
    rows = [
        [
            str(number(each)),
            name_of(each),
            state(deployment, name_of(each)),
            str(view.path(each, "data", "plan", "gpus") or "-"),
            age(str(view.path(each, "metadata", "creationTimestamp") or "")),
            change(before, each) if before else _FIRST,
        ]
        for each, before in zip(found, older, strict=True)
    ]
    return render(COLUMNS, rows, width)


def state(deployment: Object, name: str) -> str:
    """What a revision is to the deployment; "" for one that is merely kept."""
    names = view.path(deployment, "status", "revision") or {}
    tried = view.path(deployment, "status", "rollout", "strategy") == "Canary"
    words = {**_STATES, "update": "canary"} if tried else _STATES
    return next((word for key, word in words.items() if names.get(key) == name), "")


def change(before: Object, after: Object) -> str:
    """What differs between the servers of two revisions, in short."""
    old, new = _arguments(before), _arguments(after)
    added = [each for each in new if each not in old]
    removed = [f"without {each}" for each in old if each not in new]
    images = [str(view.path(each, "data", "image") or "") for each in (before, after)]
    image = [images[1]] if images[0] != images[1] else []
    return ", ".join([*image, *added, *removed]) or "the pod, but neither image nor flags"


def _arguments(revision: Object) -> list[str]:
    """Flags with their values, so that a changed value shows whose it is."""
    containers = view.path(revision, "data", "template", "spec", "containers") or [{}]
    words: list[str] = []
    for text in map(str, containers[0].get("args") or []):
        if words and not text.startswith("--") and words[-1].startswith("--"):
            words[-1] = f"{words[-1]} {text}"
        else:
            words.append(text)
    return words


def target(kube: Kube, deployment: Object, wanted: str) -> str:
    """The revision to go back to.

    Raises BadValueError where there is none of that name or number, and CliError where its weights
    were removed: its servers could not start.
    """
    found = read(kube, view.name_of(deployment))
    chosen = _named(kube, deployment, found, wanted)
    revision = next(each for each in found if name_of(each) == chosen)
    if not _copies(revision) <= _present(kube, revision):
        raise CliError(
            f"the weights of revision {chosen} were removed",
            fix="go back to another one, or set the spec as it was: that fetches them again",
            next=kube.settings.llamactl("rollout", "history", view.name_of(deployment)),
        )
    return chosen


def _copies(revision: Object) -> set[tuple[str, str]]:
    """Claim and directory of the weights that servers of a revision mount."""
    pod = view.path(revision, "data", "template", "spec") or {}
    claims = [
        str(view.path(volume, "persistentVolumeClaim", "claimName"))
        for volume in pod.get("volumes") or ()
        if volume["name"] == _WEIGHTS and "persistentVolumeClaim" in volume
    ]
    mounts = [mount for each in pod.get("containers", ()) for mount in each.get("volumeMounts", ())]
    paths = [mount.get("subPath", "") for mount in mounts if mount["name"] == _WEIGHTS]
    return {(claim, path) for claim in claims for path in paths}


def _present(kube: Kube, revision: Object) -> set[tuple[str, str]]:
    """The same of all weights that are there to stay; nobody is asked for a revision that mounts none."""
    found = kube.list(WEIGHTS) if _copies(revision) else []
    kept = [each for each in found if not view.path(each, "metadata", "deletionTimestamp")]
    told = [view.path(each, "status") or {} for each in kept]
    return {(each.get("claimName", ""), each["path"]) for each in told if "path" in each}


def _named(kube: Kube, deployment: Object, found: Sequence[Object], wanted: str) -> str:
    if not wanted:
        return _before(kube, deployment, found)
    for each in found:
        if wanted in (name_of(each), str(number(each))):
            return name_of(each)
    kept = or_list([f"{number(each)} ({name_of(each)})" for each in found]) or "none"
    raise BadValueError(
        f"there is no revision {wanted!r}; kept: {kept}",
        field="--to",
        next=kube.settings.llamactl("rollout", "history", view.name_of(deployment)),
    )


def _before(kube: Kube, deployment: Object, found: Sequence[Object]) -> str:
    """The last good one, or the newest other than that which answers or is rolled out."""
    names = view.path(deployment, "status", "revision") or {}
    present = {names.get("update"), names.get("current")} if names else set()
    good = str(names.get("lastGood") or "")
    if good and good != names.get("update") and good in map(name_of, found):
        return good
    older = [name_of(each) for each in found if name_of(each) not in present]
    if older:
        return older[0]
    raise CliError(
        "no earlier revision is kept",
        fix="spec.rollout.historyLimit says how many are",
        next=kube.settings.llamactl("rollout", "history", view.name_of(deployment)),
    )

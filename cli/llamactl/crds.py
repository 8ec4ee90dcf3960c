"""Our CRDs in a cluster: older or newer than ours by their fields, judged, then applied.

The version of the API stays v1alpha1 while fields come, so age is told by fields: what ours has
and the cluster's lacks makes the cluster's older, and the other way round.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from llamactl import crd_fields, outcome, output, view
from llamactl.errors import CliError, TimedOutError
from llamactl.kube import Kube, Object
from llamactl.resources import CRDS
from llamactl.units import duration

EVERY_SECONDS = 0.5
SHOWN = 5


@dataclass(frozen=True)
class Age:
    """Which fields and versions only one side has."""

    lacks: Sequence[str]
    knows: Sequence[str]

    def words(self, name: str) -> str:
        """How the cluster's compares with ours; "" where both have the same fields."""
        if self.knows:
            also = f", and lacks {_some(self.lacks)}" if self.lacks else ""
            return f"{name} in the cluster is newer: it has {_some(self.knows)}{also}."
        return (
            f"{name} in the cluster is older: it lacks {_some(self.lacks)}." if self.lacks else ""
        )


def offline(fmt: str) -> None:
    """Show what would be sent; asks no cluster."""
    from llama_operator.api.crd import all_crds

    crds = [dict(crd) for crd in all_crds()]
    for crd in crds:
        outcome.line(crd, "is ready to be sent (client dry run)", fmt, CRDS)
    outcome.documents(crds, fmt)


def run(
    kube: Kube, fmt: str, *, dry: bool, overwrite: bool, downgrade: bool, seconds: float
) -> None:
    """Judge all, write all, wait until they are served. Raises CliError, TimedOutError."""
    from llama_operator.api.crd import all_crds

    whole = kube.within("")
    verbs: dict[str, tuple[Object, str]] = {}
    for crd in all_crds():
        name = view.name_of(crd)
        there = whole.find(CRDS, name)
        _compare(kube, crd, there, downgrade=downgrade)
        judged = whole.apply(CRDS, crd, dry=True, force=overwrite)
        verbs[name] = judged if dry else crd, _verb(there, judged)
    for name, (crd, verb) in verbs.items():
        if dry:
            outcome.line(crd, f"{verb} (server dry run)", fmt, CRDS)
            continue
        whole.apply(CRDS, crd, force=overwrite)
        _await(whole, name, seconds)
        outcome.line(crd, verb, fmt, CRDS)
    outcome.documents([output.clean(crd) for crd, _ in verbs.values()], fmt)


def age(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> Age:
    """The fields and versions of two CRDs of one name."""
    mine, other = _versions(ours), _versions(theirs)
    lacks = [f"version {each}" for each in mine if each not in other]
    knows = [f"version {each}" for each in other if each not in mine]
    for version in mine:
        if version in other:
            less, more = crd_fields.differences(theirs, ours, version)
            lacks += less
            knows += more
    return Age(lacks, knows)


def _versions(crd: Mapping[str, Any]) -> list[str]:
    return [str(each.get("name")) for each in view.path(crd, "spec", "versions") or []]


def _compare(kube: Kube, crd: Object, there: Object | None, *, downgrade: bool) -> None:
    if there is None:
        return
    name = view.name_of(crd)
    found = age(crd, there)
    if found.knows and not downgrade:
        raise CliError(
            found.words(name),
            fix="Use the llamactl of the newer version; --downgrade goes back, and objects lose "
            "those fields",
            next=kube.settings.llamactl("version"),
        )
    if found.words(name):
        output.talk(found.words(name))


def _verb(there: Object | None, judged: Object) -> str:
    if there is None:
        return "created"
    return "unchanged" if there.get("spec") == judged.get("spec") else "changed"


def _await(kube: Kube, name: str, seconds: float) -> None:
    start = time.monotonic()
    while not view.is_true(kube.get(CRDS, name), "Established"):
        if time.monotonic() - start >= seconds:
            raise TimedOutError(
                f"{name} is not served after {duration(seconds)}",
                fix="Its conditions say why",
                next=kube.settings.kubectl("describe", "crd", name),
            )
        time.sleep(EVERY_SECONDS)


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:SHOWN])
    return f"{shown} and {len(names) - SHOWN} more" if len(names) > SHOWN else shown

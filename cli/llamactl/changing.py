"""A change of one deployment's spec: worked out, judged by the server, shown, sent.

Only the fields that differ are sent, with the version of the object that they were worked out
from: a change that somebody else made in between is refused by the server instead of lost.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from llamactl import manifest, output, restarts, setpath, view
from llamactl.errors import BadValueError
from llamactl.kube import Kube, Object
from llamactl.resources import DEPLOYMENTS

ARGUMENT = "FIELD"


def changed(spec: Mapping[str, Any], assignments: Sequence[str]) -> dict[str, Any]:
    """The spec with "field=value" set and "field-" taken out. Raises BadValueError."""
    wanted = copy.deepcopy(dict(spec))
    for text in assignments:
        if text.endswith("-") and "=" not in text:
            setpath.remove(wanted, text[:-1], ARGUMENT)
        else:
            setpath.apply(wanted, [text], ARGUMENT)
    return wanted


def merge_patch(before: Any, after: Any) -> Any:
    """The JSON merge patch (RFC 7386) from one object to another; lists go as a whole."""
    if not (isinstance(before, Mapping) and isinstance(after, Mapping)):
        return after
    patch = {key: None for key in before if key not in after}
    for key, value in after.items():
        if key not in before or before[key] != value:
            patch[key] = merge_patch(before[key], value) if key in before else value
    return patch


def run(kube: Kube, name: str, assignments: Sequence[str], *, dry: bool) -> tuple[Object, str]:
    """The stored deployment, and what was done: changed or unchanged."""
    there = kube.deployment(name)
    before = there.get("spec") or {}
    body = {
        "metadata": {"resourceVersion": view.path(there, "metadata", "resourceVersion")},
        "spec": merge_patch(before, changed(before, assignments)),
    }
    judged = kube.patch(DEPLOYMENTS, name, body, dry=True)
    changes = manifest.differences(before, judged.get("spec"))
    _tell(kube, name, before, judged, changes)
    if dry or not changes:
        return judged, manifest.verb(there, changes)
    # The dry run's answer is of a later moment than `there`; the version still is that of `there`.
    return kube.patch(DEPLOYMENTS, name, body), "changed"


def scale(kube: Kube, name: str, count: int, *, dry: bool) -> tuple[Object, str]:
    """Set the replicas through the scale subresource, which its own RBAC rule allows."""
    there = kube.deployment(name)
    before = there.get("spec") or {}
    was = restarts.replicas(before)
    if was == count:
        output.talk(f"{name} has {count} replicas already.")
        return there, "unchanged"
    output.talk(restarts.verdict(before, {**before, "replicas": count}, name))
    _tell_gpus(there, count - was)
    kube.patch(DEPLOYMENTS, name, {"spec": {"replicas": count}}, part="scale", dry=dry)
    after = {**there, "spec": {**before, "replicas": count}}
    return (after if dry else kube.get(DEPLOYMENTS, name)), f"scaled from {was} to {count}"


def _tell(
    kube: Kube, name: str, before: Mapping[str, Any], judged: Object, changes: Sequence[str]
) -> None:
    for line in changes:
        output.talk(f"  {line}")
    if changes:
        output.talk(restarts.verdict(before, judged.get("spec") or {}, name))
        if view.path(judged, "spec", "paused"):
            output.hint(kube.settings.llamactl("set", name, "paused=false"))


def _tell_gpus(there: Object, more: int) -> None:
    gpus = view.path(there, "status", "plan", "gpus")
    if more > 0 and gpus:
        product = view.path(there, "status", "plan", "gpuProduct") or "GPU"
        output.talk(f"They ask for {more * int(gpus)} x {product} in all.")


def refuse_mixed(assignments: Sequence[str]) -> None:
    """Raises BadValueError where one field is given twice: which one was meant?"""
    fields = [text.partition("=")[0].removesuffix("-") for text in assignments]
    twice = next((field for field in fields if fields.count(field) > 1), "")
    if twice:
        raise BadValueError("it is given twice", field=f"{ARGUMENT} {twice}", fix="Give it once")

"""The steps of `apply`: judge all documents, show what would change, then write them all.

The API server judges every document before the first one is written, so a refusal of the last
leaves nothing half done.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from llamactl import manifest, outcome, output, readiness, restarts, view, weights_wait
from llamactl.documents import Document
from llamactl.errors import BadValueError
from llamactl.kube import Kube, Object
from llamactl.resources import DEPLOYMENTS, WEIGHTS
from llamactl.settings import Settings, current


class Judged(NamedTuple):
    """A document that the server would take."""

    document: Document
    kube: Kube
    answer: Object
    verb: str


def offline(found: Sequence[Document], fmt: str) -> None:
    """Show what would be sent: the plan of each deployment, and the manifests."""
    for each in found:
        show_plan(each)
        outcome.line(each.obj, "is valid (client dry run)", fmt, each.resource)
    outcome.documents([each.obj for each in found], fmt)


def run(
    kube: Kube,
    found: Sequence[Document],
    fmt: str,
    *,
    dry: bool,
    overwrite: bool,
    wait: float | None,
) -> None:
    """Judge, show, write, wait."""
    judged = [_judge(_kube_of(kube, each, current()), each, overwrite) for each in found]
    stored = [each.answer if dry else _write(each, overwrite) for each in judged]
    for each, obj in zip(judged, stored, strict=True):
        verb = f"{each.verb} (server dry run)" if dry else each.verb
        outcome.line(obj, verb, fmt, each.document.resource)
    if wait is not None and not dry:
        until = time.monotonic() + wait
        stored = [_wait(each, obj, until) for each, obj in zip(judged, stored, strict=True)]
    outcome.documents([output.clean(obj) for obj in stored], fmt)


def show_plan(document: Document) -> None:
    """The plan of a deployment, where it is known without a cluster. Raises PlanRefused."""
    if document.resource != DEPLOYMENTS:
        return
    from llamactl import modelname
    from llamactl.offline import preview

    model = str(document.obj["spec"]["model"])
    try:
        resolved = modelname.resolve(model)
    except BadValueError:
        output.talk(f"{model} is in no catalogue that this command has; the operator may know it.")
        return
    if resolved.said(model):
        raise BadValueError(
            f"{model!r} is a short form, which moves with time",
            field=f"{document.place}: spec.model",
            fix=f"Write {resolved.model}",
        )
    line = preview(resolved, document.obj["spec"])
    if line:
        output.talk(f"{document.obj['metadata']['name']}: {line}")


def _kube_of(kube: Kube, document: Document, settings: Settings) -> Kube:
    named = document.obj["metadata"].get("namespace")
    if named and settings.namespace and named != settings.namespace:
        raise BadValueError(
            f"it is {named!r}, and -n says {settings.namespace!r}",
            field=f"{document.place}: metadata.namespace",
            fix="Leave one of them out",
        )
    return kube.within(str(named or kube.namespace))


def _judge(kube: Kube, document: Document, overwrite: bool) -> Judged:
    show_plan(document)
    obj, resource = document.obj, document.resource
    obj["metadata"]["namespace"] = kube.namespace
    there = kube.find(resource, obj["metadata"]["name"])
    answer = kube.apply(resource, obj, dry=True, force=overwrite)
    changes = manifest.differences(there.get("spec"), answer.get("spec")) if there else []
    if there and changes:
        _tell(obj["metadata"]["name"], changes, there, answer)
    return Judged(document, kube, answer, manifest.verb(there, changes))


def _tell(name: str, changes: Sequence[str], there: Object, answer: Object) -> None:
    output.talk(f"{name}:")
    for line in changes:
        output.talk(f"  {line}")
    if there.get("kind") != WEIGHTS.kind:
        output.talk(restarts.verdict(_spec(there), _spec(answer), name))


def _spec(obj: Mapping[str, Any]) -> Mapping[str, Any]:
    return obj.get("spec") or {}


def _write(judged: Judged, overwrite: bool) -> Object:
    document = judged.document
    return judged.kube.apply(document.resource, document.obj, force=overwrite)


def _wait(judged: Judged, stored: Object, until: float) -> Object:
    """One after the other, in one span of time: --timeout is that of the command."""
    left = max(0.0, until - time.monotonic())
    if judged.document.resource == WEIGHTS:
        return weights_wait.until_ready(judged.kube, view.name_of(stored), left)
    return readiness.wait(judged.kube, stored, left) or stored

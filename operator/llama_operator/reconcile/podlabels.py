"""`spec.podMetadata.labels` on servers that run: pure.

A changed label needs no restart, so the template of a revision keeps those that it was made with and
each pod of it is given the present ones. What the user's labels on a pod are is written beside them, or
one that was taken out of the spec again could not be told from those of a service mesh.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from llama_operator.api import labels
from llama_operator.api.template import LLM_INFERENCE, server_template
from llama_operator.diagnose.template import of_template
from llama_operator.reconcile import canary, mounts
from llama_operator.reconcile.actions import Label
from llama_operator.reconcile.ownership import leaves
from llama_operator.reconcile.snapshot import DeploymentView, Object
from llama_operator.render.meta import unscraped
from llama_operator.render.pod import volume_label

Labels = Mapping[str, str]


def changes(view: DeploymentView) -> list[Label]:
    """What the pods of the present template lack of the labels of the spec, or have too many."""
    servers = _changes(view, view.server, (*view.pods, *view.ranks))
    return [*servers, *_changes(view, canary.made(view), view.canaries)]


def _changes(view: DeploymentView, server: Object | None, every: Iterable[Object]) -> list[Label]:
    """Of those of these pods that are of the present template of what makes them."""
    own = view.spec.pod_metadata.labels
    asked = {key: value for key, value in own.items() if not _of_queue(key)}
    wanted = {**asked, **_held_back(view, server)}
    first = _users(server_template(server))
    pods = of_template(every, server)
    found = (_change(pod, wanted, first) for pod in pods if not leaves(pod))
    return [each for each in found if each is not None]


def _held_back(view: DeploymentView, server: Object | None) -> Labels:
    """Ours that may change while servers run, which KServe would make a part of a selector."""
    if server is None or server["kind"] != LLM_INFERENCE:
        return {}
    # Somebody may have taken the volume out of it, which is put right.
    claims = mounts.claims(server["spec"]["template"])
    volume = {labels.VOLUME: volume_label(claims[0])} if claims else {}
    return {**volume, **unscraped(view.spec)}


def _change(pod: Object, wanted: Labels, first: Labels) -> Label | None:
    meta = pod["metadata"]
    has, told = meta.get("labels", {}), meta.get("annotations", {}).get(labels.LABELLED)
    known = first if told is None else told.split(",")
    values: dict[str, str | None] = {key: None for key in known if key in has and key not in wanted}
    values |= {key: value for key, value in wanted.items() if has.get(key) != value}
    if not values:
        return None
    text = ",".join(sorted(wanted))
    return Label(meta["namespace"], meta["name"], meta["uid"], values, text)


def _users(template: Object | None) -> Labels:
    """Those of a template that are the user's: all others have a prefix that is reserved."""
    every = (template or {}).get("metadata", {}).get("labels", {})
    others = labels.RESERVED_PREFIXES
    return {
        key: value for key, value in every.items() if not (key.startswith(others) or _of_queue(key))
    }


def _of_queue(key: str) -> bool:
    """Whether a label is Kueue's: it writes its own into templates, and lets none of a pod change."""
    return key.startswith(labels.QUEUE_PREFIX)

"""Adapters of a deployment: which are wanted, where each lies, and who has it loaded.

An adapter is fetched as weights are: a LlamaWeights of its own, on the deployment's one claim. What
is published and fits is put on the list that servers follow; they load and unload by themselves and
say so in their logs. What is no longer wanted leaves the list first, its files go when no server
has it loaded any more, and its LlamaWeights, which remembers all that, goes last.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from llama_operator.api import labels
from llama_operator.api.template import server_template
from llama_operator.api.v1alpha1 import AdapterSpec
from llama_operator.catalog.catalog import Shape
from llama_operator.planner.plan import Plan
from llama_operator.reconcile import adapter_fit, planning, reach
from llama_operator.reconcile.actions import Action, CreateWeights
from llama_operator.reconcile.copies import failed_for_good
from llama_operator.reconcile.ownership import converge, delete, jobs
from llama_operator.reconcile.snapshot import DeploymentView, Object, Place
from llama_operator.reconcile.source import ended
from llama_operator.render import adapters as render
from llama_operator.render import adapting

_PLACE = re.compile(r"^[a-z0-9][a-z0-9.-]*/[0-9a-f]{16}$")
# Where the claim of the weights cannot be written by a second pod, that of the adapters must be.
_WRITABLE = {"ReadOnlyMany": "ReadWriteMany", "ReadWriteOncePod": "ReadWriteOnce"}
_KINDS = ("PersistentVolumeClaim", "ConfigMap")


@dataclass(frozen=True)
class Row:
    """One adapter: where its files lie once they may be loaded, else what it waits for."""

    name: str
    place: str = ""
    digest: str = ""
    message: str = ""
    # Somebody has to do something about it.
    failed: bool = False


@dataclass
class Decided:
    """What is to be done for adapters, and how they are."""

    rows: list[Row] = field(default_factory=list)
    # Before servers are made, and after.
    first: list[Action] = field(default_factory=list)
    then: list[Action] = field(default_factory=list)
    again: float | None = None


def rows(view: DeploymentView) -> list[Row]:
    """Every adapter of the spec, as its LlamaWeights says and as it fits."""
    shape = _shape(view)
    return [_row(view, adapter, shape) for adapter in view.spec.adapters]


def places(view: DeploymentView) -> dict[str, Place]:
    """What servers are to have loaded: name -> directory."""
    return {row.name: row.place for row in rows(view) if row.place}


def believed(view: DeploymentView, servers: int) -> bool:
    """Whether the status says that so many servers have loaded what is wanted, and no more."""
    told = {row["name"]: row for row in view.raw.get("status", {}).get("adapters", ())}
    wanted = [row for row in rows(view) if row.place]
    loaded = all(
        told.get(row.name, {}).get("digest") == row.digest
        and told[row.name].get("readyReplicas") == servers
        and not told[row.name].get("message")
        for row in wanted
    )
    gone = set(view.adapters) <= set(render.names(view.owner.name, view.spec.adapters))
    return loaded and gone


def has_room(server: Object | None) -> bool:
    """Whether the servers that it makes mount the volume of adapters."""
    return adapting.mounted(server_template(server))


def _remains(view: DeploymentView) -> bool:
    """Whether a server may still have the volume: one of an earlier template, or of another kind of
    object that has made them until now."""
    return any(map(has_room, (view.server, view.leaving))) or not _rolled(view.server)


def decide(view: DeploymentView, plan: Plan | None, template: Object | None) -> Decided:
    """What adapters need, for servers that are to be of this template (None: not known yet)."""
    decided = Decided(rows(view), again=view.adapters_again)
    wanted = template is not None and adapting.mounted(template)
    if wanted and plan is not None:
        decided.first = [*_claim(view), *_list(view, decided.rows)]
        decided.then = [*_copies(view, plan), *_leaving(view, plan)]
    elif template is not None and not _remains(view):
        decided.then = _gone(view)
    return decided


def _rolled(server: Object | None) -> bool:
    """Whether no server of an earlier template is left, nor may have to come back."""
    live = (server or {}).get("status", {})
    counts = {live.get(name, 0) for name in ("replicas", "updatedReplicas", "readyReplicas")}
    return len(counts) == 1


def _row(view: DeploymentView, adapter: AdapterSpec, shape: Shape | None) -> Row:
    raw = view.adapters.get(render.copy_name(view.owner.name, adapter))
    status = (raw or {}).get("status", {})
    problem = adapter_fit.problem(view.spec, adapter, status.get("adapter") or {}, shape)
    if problem:
        return Row(adapter.name, message=problem, failed=True)
    if raw is None:
        return Row(adapter.name, message="Waits for a server, whose node the volume follows")
    if removing(view, raw):
        return Row(adapter.name, message="An earlier copy is being removed")
    return _fetched(adapter, raw, status)


def _fetched(adapter: AdapterSpec, raw: Object, status: Object) -> Row:
    name, place = raw["metadata"]["name"], str(status.get("path", ""))
    conditions = {entry["type"]: entry for entry in status.get("conditions", ())}
    ready = conditions.get("Ready", {})
    if ready.get("status") != "True" or not status.get("digest"):
        text = f"LlamaWeights {name}: {ready.get('message', 'not looked at yet')}"
        return Row(adapter.name, message=text[:1024], failed=failed_for_good(conditions))
    if not _PLACE.match(place):
        text = f"LlamaWeights {name} has the path {place[:100]!r}, which is not of our making"
        return Row(adapter.name, message=text, failed=True)
    return Row(adapter.name, place, str(status["digest"]))


def removing(view: DeploymentView, raw: Object) -> bool:
    """Whether the files of a copy are on their way out; wanted again, it is fetched again."""
    path = raw.get("status", {}).get("path", "")
    return bool(path) and ("Job", render.removal_name(view.owner, path)) in view.children


def _shape(view: DeploymentView) -> Shape | None:
    model = view.world.catalog.find(view.spec.model)
    known = planning.known_shape(view.spec, model, view.weights)
    return known[0] if known else None


def _claim(view: DeploymentView) -> list[Action]:
    """Made once: it can neither shrink nor change its class."""
    name, shape, lora = adapting.name_of(view.owner.name), _shape(view), planning.lora(view.spec)
    if ("PersistentVolumeClaim", name) in view.children or shape is None:
        return []
    modes = tuple(dict.fromkeys(_WRITABLE.get(each, each) for each in reach.modes(view)))
    size = render.needed(shape, lora)
    room = render.Room(modes or ("ReadWriteOnce",), reach.storage_class(view), size)
    return converge([render.claim(view.owner, room)], view.children)


def _list(view: DeploymentView, found: Iterable[Row]) -> list[Action]:
    listed = {row.name: row.place for row in found if row.place}
    return converge([render.listing(view.owner, listed)], view.children)


def _copies(view: DeploymentView, plan: Plan) -> list[Action]:
    """Fetched once the claim is bound: a volume that only one node reaches follows the servers."""
    claim = view.children.get(("PersistentVolumeClaim", adapting.name_of(view.owner.name)))
    bound = (claim or {}).get("status", {}).get("phase") == "Bound"
    if not bound and not view.followed:
        return []
    missing = {
        render.copy_name(view.owner.name, each): each
        for each in view.spec.adapters
        if render.copy_name(view.owner.name, each) not in view.adapters
    }
    return [
        CreateWeights(render.copy(view.owner, view.spec, each, plan.gpu_product))
        for each in missing.values()
    ]


def _leaving(view: DeploymentView, plan: Plan) -> list[Action]:
    wanted = set(render.names(view.owner.name, view.spec.adapters))
    leaving = [
        raw
        for name, raw in sorted(view.adapters.items())
        if name not in wanted or removing(view, raw)
    ]
    actions = [each for raw in leaving for each in _leave(view, raw, plan)]
    return [*actions, *_done(view, leaving)]


def _leave(view: DeploymentView, raw: Object, plan: Plan) -> list[Action]:
    status = raw.get("status", {})
    path, complete = str(status.get("path", "")), bool(status.get("digest"))
    conditions = {entry["type"]: entry for entry in status.get("conditions", ())}
    if path and not complete and not failed_for_good(conditions):
        return []  # what a Job is about to publish would be left behind: first it ends
    if not complete or not _PLACE.match(path):
        return [delete(raw)]
    job = view.children.get(("Job", render.removal_name(view.owner, path)))
    if job is not None:
        return [delete(raw)] if _succeeded(job) else [delete(job)] if ended(job) else []
    if held(view, path):
        return []
    spec, settings = view.spec, view.world.settings
    wanted = render.removal(view.owner, spec, settings, path, plan.gpu_product)
    return converge([wanted], view.children)


def held(view: DeploymentView, place: Place) -> bool:
    """Whether a server has it loaded, or has not said that it has not."""
    return any(
        pod["metadata"]["uid"] not in view.loaded
        or place in view.loaded[pod["metadata"]["uid"]].loaded.values()
        for pod in view.followed
    )


def _done(view: DeploymentView, leaving: list[Object]) -> list[Action]:
    """Jobs whose copies are gone."""
    paths = {str(raw.get("status", {}).get("path", "")) for raw in leaving}
    kept = {render.removal_name(view.owner, path) for path in paths if path}
    made = jobs(view.children, labels.ADAPTER)
    return [delete(job) for name, job in made.items() if name not in kept]


def _gone(view: DeploymentView) -> list[Action]:
    """Servers have no room any more: volume, list and copies go as a whole."""
    name = adapting.name_of(view.owner.name)
    kept = [view.children.get((kind, name)) for kind in _KINDS]
    owned = [*jobs(view.children, labels.ADAPTER).values(), *filter(None, kept)]
    return [*(delete(raw) for raw in view.adapters.values()), *(delete(obj) for obj in owned)]


def _succeeded(job: Object) -> bool:
    conditions = job.get("status", {}).get("conditions", ())
    return any(c["type"] == "Complete" and c["status"] == "True" for c in conditions)


def told(view: DeploymentView, found: Iterable[Row]) -> list[Object]:
    """`status.adapters`."""
    return [_told(view, row) for row in found]


def _told(view: DeploymentView, row: Row) -> Object:
    states = [view.loaded[uid] for uid in sorted(view.loaded)]
    ready = sum(1 for each in states if row.place and each.loaded.get(row.name) == row.place)
    message = row.message or next(
        (each.failed[row.name] for each in states if row.name in each.failed), ""
    )
    kept = {"name": row.name, "digest": row.digest, "readyReplicas": ready}
    return {**kept, "message": message} if message else kept


def trouble(view: DeploymentView, found: Iterable[Row]) -> tuple[str, str] | None:
    """The reason and message of `Degraded`, where an adapter needs somebody."""
    for row in found:
        if row.failed:
            return "AdapterFailed", row.message
        for uid in sorted(view.loaded):
            if row.place and row.name in view.loaded[uid].failed:
                text = view.loaded[uid].failed[row.name]
                return "AdapterFailed", f"spec.adapters[{row.name}]: {text}"
    return None

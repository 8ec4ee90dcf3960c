"""Everything that tells how a deployment is, read once: objects, pods, events, logs.

Who may read deployments need not be allowed to read the rest, so what is refused is left out and
said, with the rule to ask for: a verdict from half of the evidence must not look like a whole one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from llama_operator.api import labels
from llama_operator.diagnose import events as kubernetes
from llama_operator.diagnose import pods as diagnose
from llama_operator.diagnose import runlog
from llamactl import podlog, view
from llamactl.api_errors import ApiError
from llamactl.errors import sentence
from llamactl.kube import Kube, Object
from llamactl.reader import Reader
from llamactl.resources import EVENTS, GROUPS, PODS, SERVERS, WEIGHTS

# As the operator: replicas of one template mostly fail alike.
PODS_AT_ONCE = 4


@dataclass(frozen=True)
class Checkup:
    """What was read at one moment; `unread` says what could not be, and why."""

    deployment: Object
    server: Object | None = None
    pods: Sequence[Object] = ()
    weights: Object | None = None
    job_pods: Sequence[Object] = ()
    # Warnings, for people to read.
    events: Sequence[Object] = ()
    # All events about objects that wait, by UID, as the operator reads them.
    waiting: kubernetes.Events = field(default_factory=dict)
    logs: Mapping[str, str] = field(default_factory=dict)
    unread: Sequence[str] = ()
    # One server of a new revision beside the others, and what makes it.
    trial: Object | None = None
    tried: Sequence[Object] = ()


def read(kube: Kube, name: str) -> Checkup:
    """Read all that belongs to a deployment. Raises CliError where there is none."""
    reader = Reader(kube)
    deployment = kube.deployment(name)
    copy = str(view.path(deployment, "status", "weights", "name") or "")
    # Of a server over several nodes all ranks count, and another object makes them.
    grouped = view.grouped(deployment)
    both = f"{labels.DEPLOYMENT}={name},{labels.COMPONENT} in ({labels.SERVER},{labels.WORKER})"
    servers = both if grouped else view.servers_selector(name)
    every = reader.read(lambda: kube.list(PODS, selector=servers)) or []
    tried = [pod for pod in every if view.is_tried(pod)]
    pods = [pod for pod in every if not view.is_tried(pod)]
    weights = reader.read(lambda: kube.find(WEIGHTS, copy)) if copy else None
    fetches = f"{labels.WEIGHTS}={copy}"
    job_pods = reader.read(lambda: kube.list(PODS, selector=fetches)) if copy else None
    events = warnings(reader, [deployment, weights, *every, *(job_pods or ())])
    maker = view.maker_of(deployment)
    return Checkup(
        deployment,
        reader.read(lambda: kube.find(GROUPS if grouped else SERVERS, maker)),
        pods,
        weights,
        job_pods or (),
        events,
        _waiting(reader, [*every, *(job_pods or ())]),
        {**_logs(reader, pods), **_logs(reader, tried)},
        tuple(reader.unread),
        reader.read(lambda: kube.find(SERVERS, view.trial_of(name))) if tried else None,
        tried,
    )


def warnings(reader: Reader, objects: Sequence[Mapping[str, Any] | None]) -> list[Object]:
    """The warnings about these objects, and about what a deployment's controllers make."""
    kube = reader.kube
    found = reader.read(lambda: kube.list(EVENTS, fields="type=Warning")) or []
    owner = view.maker_of(objects[0] or {})
    names = {view.name_of(each) for each in objects if each}
    return [each for each in found if _about(each, names, owner)]


def _waiting(reader: Reader, objects: Sequence[Object]) -> dict[str, list[Object]]:
    """All events about each of the objects that wait to be started, by its UID."""
    waits = [obj for obj in objects if kubernetes.waiting_since(obj)][:PODS_AT_ONCE]
    uids = [str(obj["metadata"].get("uid", "")) for obj in waits]
    return {uid: _of(reader, uid) for uid in uids}


def _of(reader: Reader, uid: str) -> list[Object]:
    about = f"involvedObject.uid={uid}"
    return reader.read(lambda: reader.kube.list(EVENTS, fields=about)) or []


def _about(event: Object, names: set[str], owner: str) -> bool:
    kind = str(view.path(event, "involvedObject", "kind") or "")
    name = str(view.path(event, "involvedObject", "name") or "")
    # A ReplicaSet that may make no pods is the only one to say so.
    made = kind in (SERVERS.kind, "ReplicaSet") and (name == owner or _of_set(name, owner))
    return name in names or made


def _of_set(name: str, owner: str) -> bool:
    stem, _, digest = name.rpartition("-")
    return stem == owner and digest.isalnum()


def _logs(reader: Reader, pods: Sequence[Object]) -> dict[str, str]:
    """The end of the log of each server that ended, by the UID of its pod."""
    failed = [pod for pod in pods if not view.path(pod, "metadata", "deletionTimestamp")]
    failed = [pod for pod in failed if diagnose.ended(pod)]
    texts = {pod["metadata"].get("uid", ""): _tail(reader, pod) for pod in failed[:PODS_AT_ONCE]}
    return {uid: text for uid, text in texts.items() if text}


def _tail(reader: Reader, pod: Object) -> str:
    container = diagnose.ended(pod) or {}
    previous, how = diagnose.before_restart(container), container.get("ended") or {}
    name = view.name_of(pod)
    try:
        texts = [_text(reader, name, container, previous)]
        if not previous and not runlog.surely(texts[0], how):
            texts.append(_before(reader, name, container))
    except ApiError as error:
        if error.status == 403:
            reader.note(error)
        else:
            reader.unread.append(f"The log of {name} cannot be read: {sentence(error.message)}")
        return ""
    return runlog.of_run(texts, how)


def _before(reader: Reader, pod: str, container: Object) -> str:
    try:
        return _text(reader, pod, container, previous=True)
    except ApiError as error:
        if error.status == 400:  # there was no run before
            return ""
        raise


def _text(reader: Reader, pod: str, container: Object, previous: bool) -> str:
    query = {"tailLines": str(diagnose.TAIL_LINES), "limitBytes": str(diagnose.LOG_BYTES)}
    query |= {"timestamps": "true"} | ({"previous": "true"} if previous else {})
    lines = podlog.lines(reader.kube, pod, str(container.get("name", "")), query)
    return b"\n".join(lines).decode(errors="replace")

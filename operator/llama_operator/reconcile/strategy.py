"""How servers are replaced, given what is free: pure.

A new server beside the old ones is best, and waits for ever where no GPU is free. One at a time
needs none, and where there is only one it leaves nobody to answer. What is chosen is said.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from llama_operator.reconcile.capacity import Room
from llama_operator.reconcile.record import Record

# A new server without a node for longer is not waited for: who counted was wrong, or too late.
PENDING_SECONDS = 60
# As Kubernetes does: so many at once, and what else is free stays free for others.
_AT_ONCE = 4


@dataclass(frozen=True)
class Situation:
    """What the choice depends on. `each`: GPUs of one server; `room` is None where not counted."""

    strategy: str
    replicas: int
    each: int
    allow_downtime: bool
    # Whether any server answers now, and seconds that a start took, 0 while unknown.
    answers: bool = True
    start_seconds: int = 0
    room: Room | None = None
    # Of Kueue; "" for none.
    queue: str = ""


def choose(now: Situation) -> Record | None:
    """The strategy; None where nothing may be done until more GPUs are free."""
    if now.strategy != "Auto":
        return _asked_for(now)
    if now.replicas == 0:
        return Record("InPlace", "No server runs")
    if not now.answers:
        return _nothing_to_keep(now)
    if now.room is None:
        return _tried(now)
    return _surge(now, now.room) if now.room.servers else _without_room(now, now.room)


def all_at_once(now: Situation) -> Situation:
    """The same where all servers are made anew by something else, and count as one.

    What replaces servers one by one is a Deployment, or a LeaderWorkerSet, each its own only.
    """
    count = max(1, now.replicas)
    room = replace(now.room, servers=now.room.servers // count) if now.room else None
    return replace(now, replicas=min(1, now.replicas), each=now.each * count, room=room)


def _nothing_to_keep(now: Situation) -> Record:
    """A surge would keep old servers, and what they hold, until new ones answer: for nobody."""
    if now.replicas > 1:
        return Record("InPlace", "No server answers: old ones stop first, one at a time")
    return Record("Swap", "The old server, which does not answer, stops first")


def _without_room(now: Situation, room: Room) -> Record | None:
    if now.replicas > 1:
        rest = now.replicas - 1
        text = f"{held(now)}: servers are replaced one at a time, {rest} of {now.replicas} stay"
        return Record("InPlace", text, free=room.free)
    if now.allow_downtime:
        return Record("Swap", f"{held(now)}: {_downtime(now)}", free=room.free)
    return None


def _asked_for(now: Situation) -> Record:
    surge = _at_once(now.replicas) if now.strategy == "Surge" else 0
    return Record(now.strategy, f"spec.rollout.strategy is {now.strategy}", surge)


def _at_once(replicas: int) -> int:
    return max(1, -(-replicas // _AT_ONCE))


def _tried(now: Situation) -> Record:
    text = (
        "GPUs that are free could not be counted: a new server is tried beside the old ones, and "
        f"not waited for if no node takes it within {PENDING_SECONDS} s"
    )
    return Record("Surge", text, _at_once(now.replicas))


def _surge(now: Situation, room: Room) -> Record:
    count = min(room.servers, _at_once(now.replicas))
    first = "a new server starts" if count == 1 else f"{count} new servers start"
    return Record("Surge", f"{held(now)}: {first} before an old one stops", count, room.free)


def held(now: Situation) -> str:
    """What there is for one more server, in words."""
    room = now.room
    if room is None:
        return "GPUs that are free could not be counted"
    if not now.each:
        return f"The nodes have room for {room.servers} more servers"
    text = f"{room.free} of {room.gpus} GPUs are free and a server needs {now.each}"
    if room.free >= now.each and not room.servers:
        text += ", with CPU and memory, on one node"
    return text


def waits(now: Situation, name: str) -> str:
    """Why nothing is done for the deployment of this name until more GPUs are free."""
    return (
        f"{held(now)} beside the present one, which goes on. Free GPUs or add a node, or "
        f"allow the time without an answer: llamactl set {name} rollout.allowDowntime=true"
    )


def _downtime(now: Situation) -> str:
    if not now.answers:
        return "the old server, which does not answer, stops first"
    took = f"about {now.start_seconds} s, as the last start took" if now.start_seconds else ""
    return (
        "the only server stops before the new one starts; no answer for "
        f"{took or 'as long as a start takes'}{_contested(now)}"
    )


def _contested(now: Situation) -> str:
    """What a server gives up, it has to ask its queue for again."""
    return f", and longer if others in queue {now.queue} take its quota first" if now.queue else ""


def fallen_back(now: Situation, record: Record, *, queued: bool = False) -> Record:
    """The strategy once a surge has found no node, or its queue has no quota for one."""
    who = f"Queue {now.queue}".rstrip() + " let no" if queued else "No node took the"
    text = f"{who} new server {'start ' * queued}within {PENDING_SECONDS} s: "
    if now.replicas > 1:
        text += f"servers are replaced one at a time{_contested(now)}"
        return replace(record, strategy="InPlace", surge=0, reason=text)
    return replace(record, strategy="Swap", surge=0, reason=text + _downtime(now))

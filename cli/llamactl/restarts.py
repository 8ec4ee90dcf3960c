"""What a changed spec does to the servers that run: nothing, more or fewer of them, a restart.

Judged by the operator's own rule: a revision is named by the part of the spec that needs a
restart, so equal names mean that no server is touched. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from llama_operator.api.v1alpha1 import LlamaDeploymentSpec

Spec = Mapping[str, Any]


def verdict(before: Spec, after: Spec, name: str) -> str:
    """One or two sentences on what follows from `after` taking the place of `before`."""
    if after.get("paused"):
        return f"{name} is paused: nothing happens until `paused=false` is set."
    moved = _pinned(before, after, name)
    words = [_resumed(before), moved or _restart(before, after), _replicas(before, after)]
    words.append(_scaled(before, after))
    return " ".join(filter(None, words)) or "No server restarts."


def _pinned(before: Spec, after: Spec, name: str) -> str:
    """What follows where `spec.rollout.undoTo` has the word; "" where it has not."""
    was, now = ((spec.get("rollout") or {}).get("undoTo") or "" for spec in (before, after))
    if now == was:
        held = f"Servers stay at revision {now}, to which they were brought back: nothing else"
        return f"{held} restarts them until `llamactl rollout undo {name} --off`." if now else ""
    if now:
        return f"Servers are replaced by those of revision {now}, whatever else the spec says."
    return "Servers follow the spec again, and are replaced where it asks for others."


def replicas(spec: Spec) -> int:
    """Replicas that a spec asks for."""
    wanted = spec.get("replicas")
    return 1 if wanted is None else int(wanted)


def _resumed(before: Spec) -> str:
    return "What was changed while it was paused takes effect now." if before.get("paused") else ""


def _replicas(before: Spec, after: Spec) -> str:
    was, now = replicas(before), replicas(after)
    if now == was:
        return ""
    if now == 0:
        return (
            f"{_servers(was)} stop{_s(was)} after the requests that run; nothing answers until it "
            "is scaled up. Weights, endpoint and API key stay."
        )
    if now > was:
        return f"{_servers(now - was)} more start{_s(now - was)}; those that run go on."
    return f"{_servers(was - now)} stop{_s(was - now)} after the requests that run."


def _scaled(before: Spec, after: Spec) -> str:
    bounds = after.get("autoscaling")
    if bounds is None or replicas(before) == replicas(after):
        return ""
    least, most = bounds.get("minReplicas", 1), bounds.get("maxReplicas", 4)
    return f"spec.autoscaling may change that again, between {least} and {most}."


def _restart(before: Spec, after: Spec) -> str:
    from pydantic import ValidationError

    try:
        return _of_revisions(before, after)
    except ValidationError:
        return "Whether servers restart is not known: the CRDs are newer than this llamactl."


def _of_revisions(before: Spec, after: Spec) -> str:
    from llama_operator.api.v1alpha1 import LlamaDeploymentSpec
    from llama_operator.render.inputs import Copy
    from llama_operator.render.revision import inputs_of
    from llama_operator.render.weights import weights_name

    old, new = (LlamaDeploymentSpec.model_validate(spec) for spec in (before, after))
    moved = weights_name(old) != weights_name(new)
    same = Copy(name="", claim="", path="", bytes=0)
    if not moved and inputs_of(old, same) == inputs_of(new, same):
        return _FOR_ALL if _share(old) and not _share(new) else ""
    count = min(old.replicas, new.replicas)
    if not count:
        return ""
    first = f"Other weights ({weights_name(new)}) are made ready first. " if moved else ""
    if _share(new):
        return first + _TRIED.format(share=_share(new))
    return first + _restarted(count, new.rollout.strategy, allowed=new.rollout.allow_downtime)


_FOR_ALL = "If a canary is tried, all servers are replaced by those of its revision."
_TRIED = (
    "One server of the new revision starts beside the others where GPUs are free for it, and gets "
    "{share} % of the requests of the HTTPRoute; the others go on."
)


def _share(spec: LlamaDeploymentSpec) -> int:
    """Percent of the requests that a canary gets; 0 where a change needs none, or KServe's."""
    wanted = spec.rollout.canary_percent
    ours = spec.backend == "native" and spec.endpoint.http_route is not None
    return wanted if ours and wanted < 100 and not spec.rollout.undo_to else 0


def _restarted(count: int, strategy: str, *, allowed: bool) -> str:
    if strategy == "Surge" or (count == 1 and strategy == "Auto" and not allowed):
        which = "The server restarts" if count == 1 else f"All {count} servers restart"
        return f"{which} beside the old, which need GPUs that are free; requests are answered."
    if strategy == "Swap" or (count == 1 and strategy == "InPlace"):
        which = "The server restarts" if count == 1 else f"All {count} servers restart at once"
        return f"{which}, and nothing answers while the model is loaded."
    if count == 1:
        return (
            "The server restarts, and nothing answers while it loads the model, unless GPUs are "
            "free for a second one meanwhile."
        )
    return f"All {count} servers restart, one after another; the others answer meanwhile."


def _servers(count: int) -> str:
    return "1 server" if count == 1 else f"{count} servers"


def _s(count: int) -> str:
    return "s" if count == 1 else ""

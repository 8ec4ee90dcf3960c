"""A verification asked for: now by an annotation, or again and again by the spec."""

from __future__ import annotations

from datetime import UTC, datetime

from llama_operator.api import labels
from llamactl import outcome, output, view, weights_wait
from llamactl.errors import CliError
from llamactl.kube import Kube, Object
from llamactl.resources import WEIGHTS


def plan(kube: Kube, name: str, schedule: str, fmt: str) -> None:
    """Set how often. Raises CliError where there is no such copy."""
    there = kube.weights(name)
    before = view.path(there, "spec", "verify", "schedule") or "Never"
    made = kube.patch(WEIGHTS, name, {"spec": {"verify": {"schedule": schedule}}})
    verb = "unchanged" if before == schedule else f"verify.schedule: {before} -> {schedule}"
    outcome.line(there, verb, fmt, WEIGHTS)
    outcome.documents([output.clean(made)], fmt)


def ask(kube: Kube, name: str, seconds: float | None, fmt: str) -> None:
    """Ask for a round; wait for it unless `seconds` is None. Raises CliError for a bad copy."""
    there = kube.weights(name)
    _published(kube, there)
    # Whole seconds, as lastVerifiedAt has them: a round that ends in this very second counts.
    now = datetime.now(UTC).replace(microsecond=0)
    text = now.strftime("%Y-%m-%dT%H:%M:%SZ")
    made = kube.patch(WEIGHTS, name, {"metadata": {"annotations": {labels.VERIFY_AT: text}}})
    if seconds is None:
        outcome.line(there, "is read again", fmt, WEIGHTS)
        outcome.documents([output.clean(made)], fmt)
        output.talk("What is found stands in its condition Verified:")
        output.hint(kube.settings.llamactl("weights", "verify", name, "--wait"))
        return
    _judge(kube, weights_wait.until_verified(kube, name, now, seconds), fmt)


def _published(kube: Kube, obj: Object) -> None:
    if view.path(obj, "status", "digest"):
        return
    raise CliError(
        f"{view.name_of(obj)} is not complete yet; every byte is verified before it is published",
        next=kube.settings.llamactl("weights", "ls"),
    )


def _judge(kube: Kube, obj: Object, fmt: str) -> None:
    found = view.condition(obj, "Verified")
    if found.get("status") == "False":
        name = view.name_of(obj)
        raise CliError(
            f"{name} is damaged: {found.get('reason')}: {found.get('message')}",
            fix="Servers that run have the weights in memory; fetch another copy before they "
            "restart",
            next=kube.settings.llamactl(
                "weights", "add", str(view.path(obj, "spec", "model")), "--name", f"{name}-2"
            ),
        )
    outcome.line(obj, "verified: every byte is as it was published", fmt, WEIGHTS)
    outcome.documents([output.clean(obj)], fmt)

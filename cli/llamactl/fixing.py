"""A fix: its patch judged by the server, shown, asked about, sent.

Only what was shown is sent: if somebody changes the spec between the question and the answer, the
patch is refused instead of mixed with theirs.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from llamactl import confirm, manifest, output, view
from llamactl.api_errors import ApiError
from llamactl.errors import CliError
from llamactl.kube import Kube, Object
from llamactl.resources import DEPLOYMENTS

# The operator writes its status meanwhile, which is a new version of the object, too.
TRIES = 3


def completed(patch: Mapping[str, Any], spec: Mapping[str, Any]) -> dict[str, Any]:
    """The patch with the variables that the spec has: a merge patch replaces lists as a whole."""
    whole = copy.deepcopy(dict(patch))
    added = view.path(whole, "spec", "engine", "env")
    if added:
        names = {each["name"] for each in added}
        kept = view.path({"spec": spec}, "spec", "engine", "env") or []
        kept = [each for each in kept if each.get("name") not in names]
        whole["spec"]["engine"]["env"] = [*kept, *added]
    return whole


def run(kube: Kube, deployment: Object, patch: Mapping[str, Any], *, yes: bool) -> None:
    """Show what the patch changes, ask, change it. Raises CliError where it changes nothing."""
    name = view.name_of(deployment)
    body = completed(patch, deployment.get("spec") or {})
    judged = kube.patch(DEPLOYMENTS, name, body, dry=True)
    changes = manifest.differences(deployment.get("spec"), judged.get("spec"))
    if not changes:
        raise CliError(
            f"the spec of {name} has this fix already, and the failure is older or another",
            fix="Wait for its servers to start anew",
            next=kube.settings.llamactl("status", name, "--wait"),
        )
    for line in changes:
        output.talk(f"  {line}")
    if not yes:
        confirm.ask(f"Change {name}? Its servers are started anew")
    _send(kube, deployment, body)
    output.talk(f"{name} is changed. Watch it with:")
    output.hint(kube.settings.llamactl("status", name, "--wait"))


def _send(kube: Kube, shown: Object, body: Mapping[str, Any]) -> None:
    name = view.name_of(shown)
    for left in reversed(range(TRIES)):
        there = kube.get(DEPLOYMENTS, name)
        _same(shown, there, kube)
        version = {"resourceVersion": view.path(there, "metadata", "resourceVersion")}
        try:
            kube.patch(DEPLOYMENTS, name, {**body, "metadata": version})
            return
        except ApiError as error:
            if error.status != 409 or not left:
                raise


def _same(shown: Object, there: Object, kube: Kube) -> None:
    for key in ("uid", "generation"):
        if view.path(shown, "metadata", key) != view.path(there, "metadata", key):
            name = view.name_of(shown)
            raise CliError(
                f"somebody else changed {name} meanwhile; nothing was done",
                fix="Look at it again",
                next=kube.settings.llamactl("doctor", name),
            )

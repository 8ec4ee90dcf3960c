"""The wait of `deploy`, `scale`, `set` and `apply`, with its display and its Ctrl-C."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llamactl import output, view, waiting
from llamactl.kube import Kube, Object
from llamactl.progress import display


def wait(kube: Kube, stored: Mapping[str, Any], seconds: float) -> Object | None:
    """The deployment once it is ready; None for one that is paused. Raises TimedOutError."""
    name = view.name_of(stored)
    if view.path(stored, "spec", "paused"):
        output.talk(f"{name} is paused; nothing will start.")
        return None
    uid = str(view.path(stored, "metadata", "uid") or "")
    with waiting.goes_on(name, kube.settings.llamactl("status", name)), display() as shown:
        return dict(waiting.until_ready(kube, name, uid, seconds, shown).deployment)

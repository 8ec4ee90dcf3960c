"""The claim of a compile cache comes with its servers, and goes only when it is switched off."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.builders import deployment, deployment_view, ready_weights

from llama_operator.reconcile.actions import Apply, Delete
from llama_operator.reconcile.decide import decide
from llama_operator.reconcile.snapshot import SecretView

Object = dict[str, Any]
CLAIM = "PersistentVolumeClaim"
LIVE: Object = {
    "kind": CLAIM,
    "metadata": {"name": "web-compile-cache", "namespace": "default", "uid": "uid-of-the-claim"},
}


def actions(cache: Object, *children: Object) -> list[Any]:
    raw = deployment(compileCache=cache)
    key = SecretView("key", True, frozenset({"default"}), frozenset({"uid-web"}))
    view = deployment_view(raw, weights=ready_weights(raw), key=key, children=list(children))
    return decide(view).actions


def made(found: list[Any]) -> list[str]:
    return [each.obj["kind"] for each in found if isinstance(each, Apply)]


def test_it_is_made_before_the_servers() -> None:
    kinds = made(actions({"storage": {}}))
    assert kinds.index(CLAIM) < kinds.index("Deployment")
    assert CLAIM not in made(actions({}))


@pytest.mark.parametrize(
    ("cache", "goes"),
    [
        ({"enabled": False}, True),
        ({"enabled": False, "storage": {}}, True),
        # An earlier revision may mount it again.
        ({}, False),
        ({"storage": {"claimName": "mine"}}, False),
        ({"storage": {}}, False),
    ],
)
def test_it_goes_when_it_is_switched_off(cache: Object, goes: bool) -> None:
    gone = [each.name for each in actions(cache, LIVE) if isinstance(each, Delete)]
    assert gone == (["web-compile-cache"] if goes else [])

"""Reads of what no cache holds."""

from __future__ import annotations

from llama_operator.reconcile.snapshot import Object
from llama_operator.runtime.api import Api
from llama_operator.runtime.errors import NotFound
from llama_operator.runtime.resource import Resource


async def present(api: Api, resource: Resource, namespace: str, name: str) -> Object | None:
    """One object as it is now; None where there is none."""
    try:
        return await api.get(resource, namespace, name)
    except NotFound:
        return None

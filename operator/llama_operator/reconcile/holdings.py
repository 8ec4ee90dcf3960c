"""Reads who holds what of the nodes, when a rollout is about to begin."""

from __future__ import annotations

import logging

from llama_operator.reconcile import devices, holders, resources
from llama_operator.reconcile.holders import Held, Holder
from llama_operator.runtime.api import Api
from llama_operator.runtime.errors import Forbidden, NotFound

log = logging.getLogger(__name__)


async def of(api: Api, *, claimed: bool) -> tuple[Holder, ...] | None:
    """All pods that hold something of a node; None where those of others may not be listed.

    `claimed`: with the devices that were claimed for them.
    """
    try:
        held = await _devices(api) if claimed else {}
        found = await api.list(
            resources.PODS,
            field_selector=holders.ON_NODES,
            shape=lambda pod: {"holder": holders.holder(pod, held)},
        )
    except Forbidden as refusal:
        log.info("free GPUs cannot be counted: %s", refusal.message)
        return None
    return tuple(each["holder"] for each in found)


async def _devices(api: Api) -> Held:
    try:
        found = await api.list(resources.DEVICE_CLAIMS, shape=devices.claimed)
    except NotFound:
        return {}  # an API server without them
    return devices.by_pod(found)

"""How a changed spec reaches the servers.

Import the names from `v1alpha1`.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from llama_operator.api.fields import INT32, NAME_PATTERN, Model


class RolloutSpec(Model):
    """How a changed spec reaches the servers."""

    strategy: Literal["Auto", "Surge", "InPlace", "Swap"] = Field(
        default="Auto",
        description="Surge starts new servers before old ones stop and needs free GPUs; InPlace "
        "replaces one at a time; Swap stops all old ones first. Auto counts the GPUs that are free "
        "and says in status.rollout what it chose. Default Auto.",
    )
    allow_downtime: bool = Field(
        default=True,
        description="Auto may stop the only server before the new one starts, where its GPUs are "
        "needed; false: it waits for free ones. Default true.",
    )
    automatic_rollback: bool = Field(
        default=True,
        description="Go back to the last good revision when a new one fails for good, or does not "
        "start within its budget. It is not tried again until the spec changes. Default true.",
    )
    history_limit: int = Field(
        default=5,
        description="Earlier revisions that are kept, with the weights they mount. Default 5.",
        ge=0,
        le=100,
        json_schema_extra=INT32,
    )
    canary_percent: int = Field(
        default=0,
        description="Share of the requests from outside, in percent, that a new revision is to get "
        "while one server of it is tried beside the others; 0 or 100: all servers are replaced. Needs "
        "endpoint.httpRoute; backend kserve passes it on to KServe. Default 0.",
        ge=0,
        le=100,
        json_schema_extra=INT32,
    )
    undo_to: str | None = Field(
        default=None,
        description="A kept revision that servers are to be of, whatever else the spec says, until "
        "this is removed. Auto: the revision of the spec.",
        max_length=253,
        pattern=NAME_PATTERN,
    )

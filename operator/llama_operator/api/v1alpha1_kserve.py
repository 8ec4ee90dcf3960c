"""What KServe is given to serve, with backend kserve.

Import the names from `v1alpha1`.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from llama_operator.api.fields import Model


class KServeSpec(Model):
    """What KServe is given to serve, with backend kserve."""

    resource: Literal["InferenceService", "LLMInferenceService"] = Field(
        default="InferenceService",
        description="Which resource of KServe is made: InferenceService, or LLMInferenceService, "
        "which KServe serves behind its Gateway. The latter needs backend kserve. A change is a "
        "rollout. Default InferenceService.",
    )

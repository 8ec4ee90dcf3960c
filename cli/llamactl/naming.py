"""Names of deployments: derived from the model, and judged before anything is sent."""

from __future__ import annotations

import re

from llamactl.errors import BadValueError

LIMIT = 50
_VALID = re.compile(r"^[a-z]([-a-z0-9]{0,48}[a-z0-9])?$")


def from_model(model: str) -> str:
    """A valid name: "llama-3.1-8b-instruct" -> "llama-3-1-8b-instruct", org left out."""
    words = re.sub(r"[^a-z0-9]+", "-", model.rsplit("/", 1)[-1].lower()).strip("-")
    if not words or not words[0].isalpha():
        words = f"llama-{words}".rstrip("-")
    return words[:LIMIT].rstrip("-")


def check(name: str, field: str = "--name") -> str:
    """The name, if the API server will take it. Raises BadValueError."""
    if _VALID.match(name):
        return name
    raise BadValueError(
        f"{name!r} must be at most {LIMIT} of a-z, 0-9 and -; it names a Service and starts with "
        "a letter",
        field=field,
        fix=f"For example: {from_model(name)}",
    )

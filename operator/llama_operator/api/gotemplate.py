"""Text that passes through Go's text/template, and what it was before.

KServe executes a whole LLMInferenceService as one template. Two braces in a chat template, or in a
source that pods carry, would be taken for an action of it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

_OPENS: Final = "{{"
# An action that prints a raw string. No character of it is written otherwise in JSON.
_PRINTED: Final = "{{`{{`}}"


def escaped(value: Any) -> Any:
    """A JSON value that comes out of the template as this one."""
    return _each(value, lambda text: text.replace(_OPENS, _PRINTED))


def executed(value: Any) -> Any:
    """What comes out of the template for a value that was escaped."""
    return _each(value, lambda text: text.replace(_PRINTED, _OPENS))


def _each(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return {key: _each(each, change) for key, each in value.items()}
    return [_each(each, change) for each in value] if isinstance(value, list | tuple) else value

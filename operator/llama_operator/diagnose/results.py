"""What a Job said at its end: believed only after every field has been checked for its form.

The Job parses bytes of strangers, so its termination message is a stranger's too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from llama_operator.api.conditions import Condition

Object = dict[str, Any]

_COMMIT = re.compile(r"^[0-9a-f]{40}$")
_DIGEST = re.compile(r"^sha256:[0-9a-f]{64}$")
_REASON = re.compile(r"^[A-Z][A-Za-z]{2,40}$")
_NUMBERS = (
    "numLayers",
    "hiddenSize",
    "numAttentionHeads",
    "numKVHeads",
    "headDim",
    "intermediateSize",
    "vocabSize",
    "maxPosition",
)
_WORDS = ("architecture", "dtype", "quantization")
_LARGEST = 1 << 50
_MOST_MODULES, _LONGEST_BASE = 16, 200
_OVER = ("Succeeded", "Failed")
_CONDITIONS = ("Accessible", "VolumeReady", "Downloaded", "Verified", "Converted")


@dataclass(frozen=True)
class Result:
    """A checked result; `failure` is the condition that is not met."""

    failure: Condition | None = None
    values: Object = field(default_factory=dict)


def read(
    pods: Iterable[Object], default_condition: str, needed: tuple[str, ...] = ()
) -> Result | None:
    """The result of the newest ended pod of a Job; None while a pod is at it, or before any.

    A result without one of the fields `needed` is a failure.
    """
    # An evicted pod has a phase and no container: it has ended without a word.
    states = [(_terminated(pod), pod.get("status", {}).get("phase")) for pod in pods]
    if any(state is None and phase not in _OVER for state, phase in states):
        return None
    ended = [state for state, _ in states if state is not None]
    if not ended:
        return None
    newest = max(ended, key=lambda state: str(state.get("finishedAt", "")))
    text, code = str(newest.get("message", "")), int(newest.get("exitCode", 1))
    return parse(text, default_condition, code, needed)


def _terminated(pod: Object) -> Object | None:
    for status in pod.get("status", {}).get("containerStatuses", ()):
        state = status.get("state", {}).get("terminated")
        if state:
            return dict(state)
    return None


def parse(
    text: str, default_condition: str, exit_code: int = 0, needed: tuple[str, ...] = ()
) -> Result:
    """A termination message as a checked result; anything out of form is a failure."""
    try:
        data = json.loads(text)
    except ValueError:
        return _failed(
            default_condition, "Failed", f"The Job ended with exit code {exit_code} and no result"
        )
    if not isinstance(data, dict):
        return _failed(default_condition, "Failed", "The Job's result is not an object")
    if data.get("ok") is True and exit_code == 0:
        return _checked(data, default_condition, needed)
    return _refused(data, default_condition)


def _failed(condition: str, reason: str, message: str) -> Result:
    return Result(Condition(condition, "False", reason, message))


def _refused(data: Object, default_condition: str) -> Result:
    condition = data.get("condition", default_condition)
    reason = str(data.get("reason", ""))
    if condition not in _CONDITIONS or not _REASON.match(reason):
        return _failed(
            default_condition, "Failed", "The Job failed and its result has no known form"
        )
    return _failed(condition, reason, _printable(str(data.get("message", ""))))


def _checked(data: Object, default_condition: str, needed: tuple[str, ...]) -> Result:
    values: Object = {}
    problems = [name for name in needed if name not in data]
    for name, check in _FIELDS.items():
        if name in data:
            value = check(data[name])
            problems += [name] if value is None else []
            values[name] = value
    if problems:
        return _failed(
            default_condition, "Failed", f"The Job's result has a bad {', '.join(problems)}"
        )
    return Result(values=values)


def _commit(value: Any) -> str | None:
    return value if isinstance(value, str) and _COMMIT.match(value) else None


def _digest(value: Any) -> str | None:
    return value if isinstance(value, str) and _DIGEST.match(value) else None


def _count(value: Any) -> int | None:
    sound = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _LARGEST
    return value if sound else None


def _word(value: Any) -> str | None:
    return value if isinstance(value, str) and re.fullmatch(r"[\w.+-]{0,64}", value) else None


def _shape(value: Any) -> Object | None:
    if not isinstance(value, dict):
        return None
    checked: Object = {name: _count(value.get(name)) for name in _NUMBERS}
    checked |= {name: _word(value.get(name, "")) for name in _WORDS}
    if any(entry is None for entry in checked.values()):
        return None
    return {**checked, "tiedEmbeddings": value.get("tiedEmbeddings") is True}


def _adapter(value: Any) -> Object | None:
    modules = value.get("modules") if isinstance(value, dict) else None
    if not isinstance(modules, list) or not 1 <= len(modules) <= _MOST_MODULES:
        return None
    base = str(value.get("base", ""))[:_LONGEST_BASE]
    checked: Object = {
        "rank": _count(value.get("rank")),
        "base": "".join(char for char in base if char.isprintable()),
        "layers": _count(value.get("layers")),
        "modules": [_module(each) for each in modules],
    }
    sound = all(entry is not None for entry in (*checked.values(), *checked["modules"]))
    return checked if sound else None


def _module(value: Any) -> Object | None:
    if not isinstance(value, dict) or not value.get("name"):
        return None
    counts = {key: _count(value.get(key)) for key in ("inputs", "outputs")}
    checked: Object = {"name": _word(value["name"]), **counts}
    return None if None in checked.values() else checked


_FIELDS = {
    "adapter": _adapter,
    "commit": _commit,
    "digest": _digest,
    "bytes": _count,
    "files": _count,
    "format": _word,
    "shape": _shape,
}


def _printable(text: str) -> str:
    flat = "".join(char if char.isprintable() else " " for char in text)
    return " ".join(flat.split())[:600]

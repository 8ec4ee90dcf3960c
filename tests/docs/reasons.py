"""The reasons of conditions that the code sets, read from the code itself.

The vocabulary in `api.conditions` also has reasons of later versions, and nothing forces code to
keep to it, so what is documented must be compared with the calls that make conditions.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from tests.docs.markdown import PROJECT

from llama_operator.api import conditions
from llama_weights import errors, retry

_CODE = (
    "llama_operator/reconcile",
    "llama_operator/diagnose",
    "llama_operator/planner",
    "llama_operator/catalog",
    "llama_weights",
)
_REASON = re.compile(r"^[A-Z][a-z]*[A-Z]?[A-Za-z]+$")
_TYPES = {*conditions.DEPLOYMENT_TYPES, *conditions.WEIGHTS_TYPES}
_KNOWN = {
    reason
    for table in (conditions.DEPLOYMENT_REASONS, conditions.WEIGHTS_REASONS)
    for reasons_of_type in table.values()
    for reason in reasons_of_type
}
_STATUSES = {"True", "False", "Unknown"}
# Calls that judge one type of condition, whatever their arguments say.
_BY_CALL = {
    "PlanRefused": "Planned",
    "Cause": "Degraded",
    "KnownCause": "Degraded",
    "_held": "Degraded",
    "Failure": "Degraded",
    **{
        each.__name__: each.condition
        for each in (
            errors.AccessError,
            errors.VolumeError,
            errors.DownloadError,
            errors.VerifyError,
            errors.FormatError,
            retry.RateLimitedError,
        )
    },
}
# Calls whose first text is the type, Condition("Planned", ...), or which tell no type.
_TYPED = ("Condition", "say", "__init__", "UrlRefused", "_no_secret")


def reasons() -> dict[str, set[str]]:
    """Reason -> the types that it is set for; an empty set where the code does not tell the type."""
    found: dict[str, set[str]] = {}
    for path in sources():
        for kind, reason in _found(ast.parse(path.read_text())):
            found.setdefault(reason, set()).update([kind] if kind else [])
    return found


def sources() -> list[Path]:
    """The modules that judge."""
    found = [path for part in _CODE for path in (PROJECT / "operator" / part).rglob("*.py")]
    return [*found, PROJECT / "operator/llama_operator/api/signed_url.py"]


def _found(tree: ast.AST) -> Iterator[tuple[str, str]]:
    own = dict(_helpers(tree))
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield from _of_call(node, own)
        elif isinstance(node, ast.Return | ast.List):
            # A function that returns a reason, or pairs of reason and message. Other texts come
            # back like this too, so only words of the vocabulary count.
            yield from (("", text) for text in _parts(node) if text in _KNOWN)


def _helpers(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """Functions of a module that make a condition of a reason they are given, and its type."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and "reason" in [each.arg for each in node.args.args]:
            for call in ast.walk(node):
                if isinstance(call, ast.Call) and _called(call) == "Condition":
                    yield node.name, next(iter(_texts(call.args[0])), "")


def _called(node: ast.AST) -> str:
    if not isinstance(node, ast.Call):
        return ""
    return str(getattr(node.func, "attr", getattr(node.func, "id", "")))


def _of_call(call: ast.Call, own: dict[str, str]) -> Iterator[tuple[str, str]]:
    name = _called(call)
    texts = [text for each in call.args for text in _texts(each)]
    judged = _BY_CALL.get(name) or own.get(name)
    if judged:
        yield from ((judged, text) for text in texts if _is_reason(text))
    elif name in _TYPED or name in own:
        # Where the type itself is a reason too (Ready), only the first text is the type.
        kind = texts[0] if texts and texts[0] in _TYPES else ""
        rest = texts[1:] if kind else texts
        for text in rest:
            if _is_reason(text):
                yield kind, text


def _is_reason(text: str) -> bool:
    return bool(_REASON.match(text)) and text not in _STATUSES


def _texts(node: ast.expr) -> list[str]:
    """Texts that an argument may have: itself, or either side of a choice."""
    if isinstance(node, ast.IfExp):
        return [*_texts(node.body), *_texts(node.orelse)]
    is_text = isinstance(node, ast.Constant) and isinstance(node.value, str)
    return [str(node.value)] if is_text and isinstance(node, ast.Constant) else []


def _parts(node: ast.Return | ast.List) -> list[str]:
    values = node.elts if isinstance(node, ast.List) else [node.value]
    flat = [each for value in values for each in (getattr(value, "elts", None) or [value])]
    return [text for each in flat if each is not None for text in _texts(each)]

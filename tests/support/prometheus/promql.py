"""Names in a PromQL expression. Whether it is well formed is for promtool to say."""

from __future__ import annotations

import re

# What holds names that are no metrics: texts, matchers, ranges, lists of labels.
_HIDDEN = (
    re.compile(r'"(?:[^"\\]|\\.)*"'),
    re.compile(r"\{[^}]*\}"),
    re.compile(r"\[[^\]]*\]"),
    re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)"),
)
_NAME = re.compile(r"(?<![\w.:$])[a-zA-Z_:][\w:]*\b(?!\s*\()")
_WORDS = {"and", "or", "unless", "bool", "offset", "inf", "nan"}


def metrics(expression: str) -> set[str]:
    """The metrics that an expression reads."""
    for pattern in _HIDDEN:
        expression = pattern.sub(" ", expression)
    return {name for name in _NAME.findall(expression) if name.lower() not in _WORDS}


def words(expression: str, *label_names: str) -> set[str]:
    """The values, one by one, that matchers of these labels name."""
    matcher = re.compile(rf'\b(?:{"|".join(label_names)})\s*(?:=~|!~|!=|=)\s*"([^"]*)"')
    return {word for value in matcher.findall(expression) for word in value.split("|")}

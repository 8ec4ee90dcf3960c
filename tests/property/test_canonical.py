"""The hash of an object never depends on who wrote its JSON: a stamp that moves restarts servers."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from llama_operator.render.canonical import canonical

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(VALUES)
@example({"é": "\x7f", "a": '\x00\b\t\n\f\r\x1f"\\/'})
@example({"a": [1e16, 1e-5, 1e-4, -0.0, 9999999999999998.0], "b": 1 << 70})
@example({"\U00010000": 1, "\uffff": 2})
@example("\ud800")
def test_the_text_is_that_of_python_s_own_json(value: Any) -> None:
    assert canonical(value) == json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


@given(st.floats(1e-4, 1e16, exclude_max=True))
def test_floats_that_are_not_left_to_json_are_written_alike(value: float) -> None:
    assert canonical(value) == json.dumps(value).encode()


@given(st.characters(max_codepoint=0x7F))
def test_each_ascii_character_is_escaped_alike(char: str) -> None:
    assert canonical([char]) == json.dumps([char]).encode()

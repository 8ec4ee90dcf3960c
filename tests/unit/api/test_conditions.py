"""Laws of merging conditions."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llama_operator.api.conditions import (
    DEPLOYMENT_REASONS,
    DEPLOYMENT_TYPES,
    WEIGHTS_REASONS,
    WEIGHTS_TYPES,
    Condition,
    find,
    merge,
)

THEN, NOW = "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"
TYPES = (*DEPLOYMENT_TYPES, "Foreign", "Other")
STATUSES = st.sampled_from(["True", "False", "Unknown"])


def conditions() -> st.SearchStrategy[list[Condition]]:
    one = st.builds(
        Condition,
        type=st.sampled_from(TYPES),
        status=STATUSES,
        reason=st.sampled_from(["A", "B"]),
        message=st.text(max_size=5),
    )
    return st.lists(one, unique_by=lambda each: each.type, max_size=len(TYPES))


def written(each: Condition) -> dict[str, Any]:
    return merge([], [each], 1, THEN)[0]


def stored() -> st.SearchStrategy[list[dict[str, Any]]]:
    return conditions().map(lambda many: [written(each) for each in many])


@given(stored(), conditions())
def test_merging_again_later_changes_nothing(
    old: list[dict[str, Any]], new: list[Condition]
) -> None:
    once = merge(old, new, 2, NOW)
    assert merge(once, new, 2, "2026-01-03T00:00:00Z") == once


@given(stored(), conditions())
def test_time_moves_exactly_when_status_flips(
    old: list[dict[str, Any]], new: list[Condition]
) -> None:
    before = {each["type"]: each["status"] for each in old}
    for each in merge(old, new, 2, NOW):
        flipped = before.get(each["type"]) != each["status"]
        assert each["lastTransitionTime"] == (NOW if flipped else THEN)


@given(stored(), conditions())
def test_new_ones_stand_first_in_their_order_and_say_what_they_say(
    old: list[dict[str, Any]], new: list[Condition]
) -> None:
    merged = merge(old, new, 7, NOW)
    said = [(each["type"], each["status"], each["reason"], each["message"]) for each in merged]
    assert said[: len(new)] == [(c.type, c.status, c.reason, c.message) for c in new]
    assert {each["observedGeneration"] for each in merged[: len(new)]} <= {7}


@given(stored(), conditions())
def test_conditions_of_others_are_kept_untouched(
    old: list[dict[str, Any]], new: list[Condition]
) -> None:
    ours = {each.type for each in new}
    merged = merge(old, new, 2, NOW)
    assert merged[len(new) :] == [each for each in old if each["type"] not in ours]
    assert len({each["type"] for each in merged}) == len(merged)


@given(stored(), conditions())
def test_inputs_are_left_alone(old: list[dict[str, Any]], new: list[Condition]) -> None:
    copy = [dict(each) for each in old]
    merge(old, new, 2, NOW)
    assert old == copy


def test_a_condition_stored_without_a_time_gets_one() -> None:
    old = [{"type": "Ready", "status": "True"}]
    assert merge(old, [Condition("Ready", "True", "A", "")], 1, NOW)[0]["lastTransitionTime"] == NOW


def test_find() -> None:
    stored_now = [written(Condition("Ready", "True", "A", "m"))]
    found = find(stored_now, "Ready")
    assert found is not None
    assert found["message"] == "m"
    assert find(stored_now, "Planned") is None


@pytest.mark.parametrize("table", [DEPLOYMENT_REASONS, WEIGHTS_REASONS])
def test_reasons_are_words_that_the_server_accepts(table: dict[str, tuple[str, ...]]) -> None:
    for reasons in table.values():
        assert len(set(reasons)) == len(reasons)
        assert all(each.isalnum() and each[0].isupper() for each in reasons)


def test_ready_is_looked_for_first() -> None:
    assert DEPLOYMENT_TYPES[0] == WEIGHTS_TYPES[0] == "Ready"

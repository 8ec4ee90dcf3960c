"""The log of a run is told from that of the run after it and of the one before it by its times."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llama_operator.diagnose import runlog

STARTED = datetime(2026, 11, 28, 10, 0, tzinfo=UTC)
SECONDS = st.floats(0, 600).map(lambda each: timedelta(seconds=each))
ZONES = st.integers(-12, 14).map(lambda hours: timezone(timedelta(hours=hours)))


def how(started: datetime, finished: datetime) -> dict[str, object]:
    """As the kubelet gives it: whole seconds, rounded down."""
    return {
        "exitCode": 1,
        "startedAt": started.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "finishedAt": finished.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }


def stamped(at: datetime, line: str, zone: timezone = UTC) -> str:
    """As containerd writes it: nanoseconds, in the zone of the node."""
    text = at.astimezone(zone).strftime("%Y-%m-%dT%H:%M:%S.%f123")
    return f"{text}{at.astimezone(zone).isoformat()[-6:] if zone != UTC else 'Z'} {line}"


@given(offset=SECONDS, length=SECONDS, wrote=st.floats(0, 1), pause=SECONDS, zone=ZONES)
def test_of_the_run_and_the_next_one_it_is_the_run(
    offset: timedelta, length: timedelta, wrote: float, pause: timedelta, zone: timezone
) -> None:
    """Both have written; the kubelet needs some time to start the next one."""
    started = STARTED + offset
    finished = started + length
    after = finished + timedelta(seconds=1) + pause
    mine = stamped(started + length * wrote, "mine", zone)
    theirs = stamped(after, "theirs", zone)
    state = how(started, finished)
    assert runlog.of_run([theirs, mine], state) == "mine"
    assert runlog.of_run([mine, theirs], state) == "mine"
    assert runlog.of_run([theirs], state) == ""
    assert not runlog.surely(theirs, state)


@given(length=SECONDS, pause=SECONDS)
def test_the_run_before_is_not_the_run(length: timedelta, pause: timedelta) -> None:
    started = STARTED + timedelta(seconds=700)
    theirs = stamped(started - timedelta(seconds=1) - pause, "theirs")
    assert runlog.of_run([theirs], how(started, started + length)) == ""


def test_in_the_second_of_its_end_the_present_one_is_taken_unless_the_one_before_surely_is() -> (
    None
):
    state = how(STARTED, STARTED + timedelta(seconds=60.2))
    late = stamped(STARTED + timedelta(seconds=60.9), "late")
    sure = stamped(STARTED + timedelta(seconds=59), "sure")
    assert not runlog.surely(late, state)
    assert runlog.surely(sure, state)
    assert runlog.of_run([late, ""], state) == "late"
    assert runlog.of_run([late, sure], state) == "sure"


@pytest.mark.parametrize(
    "text",
    [
        "",
        " \n",
        stamped(STARTED + timedelta(seconds=99), "of the next run"),
        "unable to retrieve container logs for containerd://0123",
    ],
)
def test_nothing_is_no_log(text: str) -> None:
    assert runlog.of_run([text], how(STARTED, STARTED + timedelta(seconds=9))) == ""
    assert runlog.of_run([], {}) == ""


def test_what_cannot_be_compared_is_taken() -> None:
    assert runlog.of_run(["no times\nat all"], how(STARTED, STARTED)) == "no times\nat all"
    line = stamped(STARTED, "of a container that was lost")
    assert runlog.of_run([line], {"startedAt": None, "finishedAt": None}) == line.split(" ", 1)[1]


def test_only_the_times_of_lines_go() -> None:
    at = STARTED + timedelta(seconds=1)
    lines = [stamped(at, ""), stamped(at, "  at 2026-11-28T10:00:00Z it fell"), "a torn one"]
    state = how(STARTED, STARTED + timedelta(seconds=9))
    assert (
        runlog.of_run(["\n".join(lines)], state)
        == "\n  at 2026-11-28T10:00:00Z it fell\na torn one"
    )


@given(text=st.text() | st.from_regex(r"\A\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ .*", fullmatch=True))
def test_whatever_a_log_has_nothing_is_raised(text: str) -> None:
    state = how(STARTED, STARTED + timedelta(seconds=9))
    assert all(line in text for line in runlog.of_run([text], state).splitlines())
    assert not runlog.surely(text, state) or text.startswith("2026-11-2")

"""Each test is in one lane of `make test`, or is left to `make test-full`."""

from __future__ import annotations

import re
from itertools import product
from pathlib import Path

import pytest
from tests.support.suite import MARKED, lanes

ROOT = Path(__file__).parents[2]
MARK = re.compile(r"mark\.(?:cluster|node|vllm|weights)\b")
NAMES = ("cluster", "node", "vllm", "weights")


def expressions() -> list[str]:
    commands = [command for lane in lanes([]).values() for command in lane]
    return [command[command.index("-m") + 1] for command in commands]


@pytest.mark.parametrize("marks", [*product([False, True], repeat=len(NAMES))])
def test_whatever_its_marks_a_test_is_in_one_lane(marks: tuple[bool, ...]) -> None:
    of = dict(zip(NAMES, marks, strict=True))
    given = {"__builtins__": {}, "slow": False, **of}
    assert sum(eval(each, given) for each in expressions()) == 1  # noqa: S307
    given["slow"] = True
    assert not any(eval(each, given) for each in expressions())  # noqa: S307


def test_marked_tests_lie_where_their_lanes_look() -> None:
    files = (path for path in ROOT.glob("tests/**/test_*.py") if MARK.search(path.read_text()))
    found = {"/".join(path.relative_to(ROOT).parts[:2]) for path in files}
    assert found <= {*MARKED}
    assert "tests/integration" in found


def test_arguments_are_those_of_every_command() -> None:
    commands = [command for lane in lanes(["-x", "-q"]).values() for command in lane]
    assert all(command[-2:] == ["-x", "-q"] for command in commands)

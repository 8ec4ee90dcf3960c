"""What pods carry does what the file does."""

from __future__ import annotations

import argparse
import ast
import dataclasses
import inspect
import logging
import sys
from pathlib import Path
from types import ModuleType

import pytest

from llama_operator import compilecache, guard, sources, warmup
from llama_operator.guard import adapters

CARRIED = (
    *(guard.FILE, guard.CANARY_FILE, guard.LAUNCHER_FILE),
    *(adapters.FILE, warmup.FILE, compilecache.FILE),
)
ODD = '''"""Of the module."""
# of nobody


class Alone:
    """All that it has."""


def say(what):  # behind it
    """Told."""
    text = """
    # no comment

        as it stands
    """  # but this is one
    named = f"""{what}
        # {
            what  # within
        }
    """
    return text + named, [
        1,
        # between
        2,
            3,
    ] + \\
        ["#", '"""']
'''


def meaning(text: str) -> str:
    """What Python makes of it, docstrings left out."""
    tree = ast.parse(text)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if not isinstance(body, list) or len(body) < 2 or not isinstance(body[0], ast.Expr):
            continue
        if isinstance(getattr(body[0].value, "value", None), str):
            del body[0]
    return ast.dump(tree)


@pytest.mark.parametrize("file", CARRIED, ids=lambda file: file.stem)
def test_what_is_carried_is_the_same_program(file: Path) -> None:
    text, carried = file.read_text(), sources.carried(file)
    assert meaning(carried) == meaning(text)
    assert carried.startswith(f"# {file.name} of llama-operator")
    assert len(carried) < 0.8 * len(text)


@pytest.mark.parametrize("module", [argparse, ast, dataclasses, logging, inspect])
def test_so_is_any_other(module: ModuleType) -> None:
    text = inspect.getsource(module)
    cut = sources.slim(text)
    assert meaning(cut) == meaning(text)
    assert len(cut) < len(text)


def test_texts_stay_as_they_are_and_what_explains_goes() -> None:
    odd = ODD
    if sys.version_info < (3, 12):  # when values within a text may span rows (PEP 701)
        odd = ODD.replace("{\n            what  # within\n        }", "{what}")
    cut = sources.slim(odd)
    assert meaning(cut) == meaning(odd)
    for left in (
        "# no comment\n\n        as it stands",
        '"""All that it has."""',
        '["#", \'"""\']',
    ):
        assert left in cut
    for gone in ("Of the module", "nobody", "behind", "Told", "but this", "between", "\n    text"):
        assert gone not in cut

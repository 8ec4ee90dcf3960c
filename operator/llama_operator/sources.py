"""Programs as templates of pods carry them: what runs, without what explains it.

Each template lies four times in etcd (revision, Deployment, ReplicaSet, pod) and is sent, hashed and
packed as often, so comments, docstrings and three of four spaces stay in the repository. All else
is as it was written, line by line, so that what a pod carries can be read there.
"""

from __future__ import annotations

import ast
import io
import tokenize
from functools import cache
from pathlib import Path

_INDENT = 4
_HOLDERS = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
# A text with values in it is one token before Python 3.12, and several from then on.
_TEXTS = frozenset(
    getattr(tokenize, name, tokenize.STRING)
    for name in ("STRING", "FSTRING_MIDDLE", "TSTRING_MIDDLE")
)


@cache
def carried(file: Path) -> str:
    """The text of a program, cut down; raises SyntaxError for one that is not Python."""
    return f"# {file.name} of llama-operator, without its comments\n{slim(file.read_text())}"


def slim(text: str) -> str:
    """The same program in fewer bytes; its own indentation is by four spaces."""
    lines = ["", *text.splitlines()]  # numbered from one, as tokens are
    within: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        row, column = token.start
        if token.type == tokenize.COMMENT:
            lines[row] = lines[row][:column].rstrip()
        if token.type in _TEXTS:
            within.update(range(row + 1, token.end[0] + 1))
    gone = _docstrings(text)
    kept = [
        line if row in within else _nearer(line)
        for row, line in enumerate(lines)
        if row not in gone and (row in within or line.strip())
    ]
    return "\n".join(kept) + "\n"


def _docstrings(text: str) -> set[int]:
    """The rows of those; where one is all that a class or function has, it stays."""
    told = [
        node.body[0]
        for node in ast.walk(ast.parse(text))
        if isinstance(node, _HOLDERS) and ast.get_docstring(node) and len(node.body) > 1
    ]
    return {row for each in told for row in range(each.lineno, (each.end_lineno or 0) + 1)}


def _nearer(line: str) -> str:
    inner = line.lstrip(" ")
    return " " * ((len(line) - len(inner)) // _INDENT) + inner

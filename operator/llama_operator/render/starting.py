"""A server's program as KServe lets it start: without the variable by which Python finds the guard.

KServe 0.19 and newer refuse that variable in any container, as one that runs what it names.
"""

from __future__ import annotations

from typing import NamedTuple

from llama_operator import guard
from llama_operator.render.inputs import Object

_PATH = "PYTHONPATH"
_START = """\
import sys
sys.path[:0] = {directories}
from {module} import main
{call}
"""


class _Program(NamedTuple):
    """What a command runs, as Python sees it: a module with `main`, how to call that, first words."""

    module: str
    call: str
    words: tuple[str, ...] = ()


_PROGRAMS = {
    ("vllm", "serve"): _Program("vllm.entrypoints.cli.main", "sys.exit(main())", ("serve",)),
    ("python3", "-m", guard.LAUNCHER): _Program(guard.LAUNCHER, "main(sys.argv[1])"),
}


def without_variable(engine: Object) -> Object:
    """The container with the same program, which puts those directories on its path itself."""
    (path,) = (each["value"] for each in engine["env"] if each["name"] == _PATH)
    program = _PROGRAMS[tuple(engine["command"])]
    code = _START.format(directories=path.split(":"), module=program.module, call=program.call)
    return {
        **engine,
        "command": ["python3", "-c", code, *program.words],
        "env": [each for each in engine["env"] if each["name"] != _PATH],
    }

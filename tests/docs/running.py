"""Running the command lines of the documents: which ones need nothing but this machine, and how.

They run in a folder that holds the files which the documents speak of, so that `-f llama.yaml` is there.
What is not run, and why, is told in docs/design/documentation.md.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from functools import cache
from pathlib import Path

import click
from click.testing import CliRunner, Result
from tests.docs.markdown import PROJECT, Command

from llama_operator.main import main as operator_cli
from llama_weights.cli import app as weights_cli
from llamactl.app import cli as llamactl_cli

ROOTS: dict[str, click.Group] = {
    "llamactl": llamactl_cli,
    "llama-operator": operator_cli,
    "llama-weights": weights_cli,
}
WIDTH = "100"
_LOG = "tests/unit/diagnose/data/recorded/kv-cache-too-small.log"
_FILES = {
    "llama.yaml": "examples/llama-3.1-8b.yaml",
    "server.log": _LOG,
}
_CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 2048,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "num_hidden_layers": 16,
    "intermediate_size": 8192,
    "vocab_size": 128256,
    "max_position_embeddings": 131072,
    "torch_dtype": "bfloat16",
}

_FOLDER = tempfile.TemporaryDirectory(prefix="llama-docs-")


def offline(command: Command) -> bool:
    """Whether a command line needs nothing but this machine."""
    program, *words = command.words
    if program == "llama-operator":
        return words[:1] == ["manifests"]
    return program == "llamactl" and _llamactl(words)


def _llamactl(words: list[str]) -> bool:
    if words[:1] == ["plan"]:
        hub = "/" in words[1] and not words[1].startswith("./")
        return not hub and "--from-cluster" not in words
    if words[:1] == ["doctor"]:
        return "--log" in words
    if "-" in words and words[:1] == ["apply"]:
        return False  # what is piped into it is a command of its own
    return words[:1] in (["models"], ["completion"]) or "--dry-run=client" in words


def run(command: Command) -> Result:
    """Run a command line in this process."""
    program, *words = command.words
    log = (PROJECT / _LOG).read_text() if words[-1:] == ["-"] or "-" in words else None
    with _folder():
        runner = CliRunner(env={"COLUMNS": WIDTH, "NO_COLOR": "1"})
        return runner.invoke(ROOTS[program], words, prog_name=program, input=log)


def said(command: Command) -> str:
    """What a command says: its answer, or its complaint where it fails."""
    result = run(command)
    if result.exit_code == 0:
        return result.stdout
    return result.stderr[max(result.stderr.find("Error: "), 0) :]


@contextmanager
def _folder() -> Iterator[None]:
    with chdir(_made()):
        yield


@cache
def _made() -> Path:
    place = Path(_FOLDER.name)
    for name, source in _FILES.items():
        shutil.copy(PROJECT / source, place / name)
    (place / "examples").symlink_to(PROJECT / "examples")
    (place / "my-model").mkdir()
    (place / "my-model" / "config.json").write_text(json.dumps(_CONFIG))
    return place

"""What a command imports: most of the time that it takes to answer, and the same on any machine.

`python -m tests.cli.bench_startup` has the milliseconds.
"""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.cli.conftest import DEPLOYMENTS
from tests.cli.fake_api import Fake
from tests.cli.objects import ready

CODE = """
import json, sys
from llamactl.app import cli
try:
    cli.main(sys.argv[1:])
except SystemExit as end:
    print(json.dumps([end.code, sorted(sys.modules)]), file=sys.stderr)
"""
# Each of these costs 20 to 300 ms, and `list` asks one question and prints one table.
HEAVY = {
    "kubernetes", "pydantic", "pydantic_core", "requests", "oauthlib", "websocket", "rich",
    "asyncio", "aiohttp", "openai", "prometheus_client", "structlog",
    "llama_operator.planner", "llama_operator.catalog", "llama_operator.render",
    "llama_operator.diagnose", "llama_operator.api.v1alpha1",
}  # fmt: skip


def imported(*args: str) -> set[str]:
    command = [sys.executable, "-c", CODE, *args]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    code, modules = json.loads(done.stderr.splitlines()[-1])
    assert code == 0
    assert done.stdout
    return set(modules)


@pytest.mark.parametrize(
    ("args", "most"),
    [(["--help"], 150), (["list"], 290), (["status", "my-llama"], 330)],
)  # fmt: skip
def test_little_is_imported(api: Fake, args: list[str], most: int) -> None:
    api.put(f"{DEPLOYMENTS}/my-llama", ready())
    found = imported(*args)
    # It shows warnings in the words of the diagnosis.
    allowed = {"llama_operator.diagnose"} if args[0] == "status" else set()
    assert found & HEAVY <= allowed
    assert len(found) <= most


def test_an_import_is_seen() -> None:
    assert "llama_operator.planner" in imported("plan", "8b", "--gpu", "L4")

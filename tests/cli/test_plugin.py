"""`kubectl llama`: the plugin as a real kubectl finds, runs and completes it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import DEPLOYMENTS, Run
from tests.cli.fake_api import Fake
from tests.cli.objects import ready
from tests.support.cluster.tools import CONTROL_PLANE

KUBECTL = next(tool for tool in CONTROL_PLANE if tool.name == "kubectl").cached
pytestmark = pytest.mark.skipif(
    not KUBECTL.is_file(), reason="there is no kubectl: `make prepare` builds it"
)
SCRIPTS = Path(sys.executable).parent


def kubectl(directory: Path, *args: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(directory), str(SCRIPTS), os.environ["PATH"]])
    env = {**os.environ, "PATH": path}
    return subprocess.run(
        [KUBECTL, *args], capture_output=True, text=True, env=env, check=False, timeout=30
    )


@pytest.fixture
def served(api: Fake) -> Fake:
    for name in ("my-llama", "my-other", "yours"):
        api.put(f"{DEPLOYMENTS}/{name}", ready(name))
    return api


def test_it_runs_as_a_command_of_kubectl(served: Fake, tmp_path: Path) -> None:
    listed = kubectl(tmp_path, "llama", "list", "-o", "name")
    assert listed.returncode == 0, listed.stderr
    assert "llamadeployment.llamactl.dev/yours" in listed.stdout.splitlines()
    helped = kubectl(tmp_path, "llama", "deploy", "--help").stdout
    assert "Usage: kubectl llama deploy" in helped
    assert "\n  kubectl llama deploy 8b\n" in helped


def test_its_exit_codes_and_suggestions_come_through(served: Fake, tmp_path: Path) -> None:
    missing = kubectl(tmp_path, "llama", "status", "my-llamma")
    assert missing.returncode == 1
    assert "  kubectl llama list\n" in missing.stderr


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["status", "my"], ["my-llama", "my-other"]),
        (["sca"], ["scale"]),
    ],
)
def test_kubectl_completes_it(
    llamactl: Run, served: Fake, tmp_path: Path, words: list[str], offered: list[str]
) -> None:
    script = tmp_path / "kubectl_complete-llama"
    script.write_text(llamactl("completion", "kubectl").stdout)
    script.chmod(0o755)
    done = kubectl(tmp_path, "__complete", "llama", *words)
    *found, directive = done.stdout.splitlines()
    assert (found, directive) == (offered, ":4")

"""llamactl as its own process, against the node of the tests."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.e2e.conftest import NAMESPACE
from tests.support.stack import Stack


def llamactl(stack: Stack, *args: str, timeout: float = 300) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).parent / "llamactl"
    env = {**os.environ, "KUBECONFIG": str(stack.cluster.kubeconfig), "NO_COLOR": "1"}
    return subprocess.run(
        [str(program), "-n", NAMESPACE, *args],
        env=env,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )

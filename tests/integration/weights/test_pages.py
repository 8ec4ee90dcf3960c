"""A fetch in the memory of its pod: bytes are hashed while they are still there."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest
from tests.bench.fast_hub import COMMIT, REPO
from tests.bench.weights import hub
from tests.support.limited import limited

GIB, RATE = 1 << 30, 300_000_000


@pytest.mark.slow
@pytest.mark.parametrize("limit", [2 * GIB, GIB])
def test_little_is_read_from_the_disk_again(tmp_path: Path, limit: int) -> None:
    total = 4 * GIB
    with hub(total) as served, limited(limit) as group:
        where = [f"--endpoint=http://127.0.0.1:{served.port}", f"--dest={tmp_path / 'd'}"]
        what = [f"--repo={REPO}", f"--commit={COMMIT}", f"--max-bytes-per-second={RATE}"]
        running = group.run([sys.executable, "-m", "llama_weights", "fetch", *what, *where])
        traffic = {"read_bytes": 0, "write_bytes": 0}
        while running.poll() is None:
            traffic = disk(running.pid) or traffic
            time.sleep(0.05)
        said = running.communicate()[0]
        assert (running.returncode, group.kills) == (0, 0), said
    assert traffic["write_bytes"] > total / 2, "it went to a disk"
    # A volume of 125 MiB/s would take twice as long if all were read back for its hash.
    assert traffic["read_bytes"] < total / 4, traffic


def disk(pid: int) -> dict[str, int]:
    """What a process has moved from and to disks; nothing when it has ended."""
    try:
        lines = Path(f"/proc/{pid}/io").read_text().splitlines()
    except OSError:
        return {}
    return {key: int(value) for key, value in (line.split(": ") for line in lines)}

"""Debian's package is unpacked once, and a machine that cannot says why and goes on."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.prometheus import __main__ as command
from tests.support.prometheus import install as prometheus


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without any Prometheus and with the programs of one folder."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    (tmp_path / "bin").mkdir()
    return tmp_path


def program(path: Path, script: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def apt(machine: Path) -> None:
    """An apt whose lists are there only after an update; dpkg-deb unpacks by making the files."""
    state = machine / "updated"
    program(
        machine / "bin/apt-get",
        f'case "$2" in update) : > {state};; '
        f"download) [ -e {state} ] && : > prometheus.deb || {{ echo no candidate >&2; exit 100; }};; esac",
    )
    unpack = "; ".join(
        f": > usr/bin/{name}; /bin/chmod +x usr/bin/{name}" for name in prometheus.PROGRAMS
    )
    program(machine / "bin/dpkg-deb", f"/bin/mkdir -p usr/bin; {unpack}")


def test_it_is_unpacked_into_the_cache(bare: Path) -> None:
    apt(bare)
    assert prometheus.find("promtool") is None
    prometheus.install()
    assert prometheus.find("promtool") == bare / (
        "cache/llama-operator/tools/prometheus-debian/usr/bin/promtool"
    )
    (bare / "bin/apt-get").unlink()
    prometheus.install()  # asks for nothing again


def test_one_on_path_is_taken_as_it_is(bare: Path) -> None:
    for name in prometheus.PROGRAMS:
        program(bare / "bin" / name, "")
    prometheus.install()
    assert prometheus.find("prometheus") == bare / "bin/prometheus"


def test_without_apt_the_command_says_so_and_ends_well(
    bare: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["prometheus", "install"])
    assert command.main() == 0
    assert "tests that need it are skipped: there is no apt-get" in capsys.readouterr().out
    assert prometheus.find("promtool") is None


def test_half_of_it_does_not_count(bare: Path) -> None:
    apt(bare)
    program(bare / "bin/dpkg-deb", "/bin/mkdir -p usr/bin; exit 2")
    with pytest.raises(prometheus.PrometheusError, match="dpkg-deb"):
        prometheus.install()
    assert prometheus.find("promtool") is None

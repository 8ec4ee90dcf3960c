"""What must hold for the repository itself, or something far away breaks in an odd way."""

import operator
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HEAVY = {"torch", "vllm", "transformers", "safetensors", "kserve"}


def test_the_folder_operator_never_becomes_a_package() -> None:
    assert not (ROOT / "operator" / "__init__.py").exists(), (
        "it would shadow Python's module operator"
    )
    assert operator.__file__ is not None
    assert ROOT not in Path(operator.__file__).parents


def test_nothing_heavy_is_installed_with_operator_and_cli() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = {
        entry.split(">")[0].split("<")[0].split("=")[0].strip() for entry in project["dependencies"]
    }
    assert not names & HEAVY
    locked = (ROOT / "requirements" / "runtime.txt").read_text()
    assert not [name for name in HEAVY if f"\n{name}==" in locked]


def test_every_locked_package_has_a_hash() -> None:
    for lock in (ROOT / "requirements").glob("*.txt"):
        blocks = lock.read_text().split("\n")
        pins = [line for line in blocks if "==" in line and not line.startswith((" ", "#"))]
        assert pins
        assert all(line.endswith("\\") for line in pins), f"{lock.name}: a pin without a hash"


def test_the_command_line_starts_without_the_kubernetes_package() -> None:
    code = "import sys, llamactl.app; sys.exit('kubernetes' in sys.modules or 'pydantic' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_scripts_are_installed() -> None:
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    for name in scripts:
        path = Path(sys.executable).parent / name
        assert path.exists(), f"{name} is not installed"
        done = subprocess.run([str(path), "--help"], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert "Usage" in done.stdout

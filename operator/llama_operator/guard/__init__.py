"""What runs inside of engines: API key guard, canary and launcher, and how they get there.

The operator never imports these files; it writes their text (`sources`) into the template of the
pods, so that a newer operator changes the guard of no server that runs.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

MODULE: Final = "llama_guard"
FILE: Final = Path(__file__).with_name(f"{MODULE}.py")

# Beside it in servers over several nodes: what notices that a rank was lost.
CANARY_MODULE: Final = "llama_canary"
CANARY_FILE: Final = Path(__file__).with_name(f"{CANARY_MODULE}.py")
CANARY_MIDDLEWARE: Final = f"{CANARY_MODULE}.Canary"
# Runs transformers' server behind the guard; only its pods carry it.
LAUNCHER: Final = "llama_serve"
LAUNCHER_FILE: Final = Path(__file__).with_name(f"{LAUNCHER}.py")

# Of `vllm serve --middleware`.
MIDDLEWARE: Final = f"{MODULE}.Guard"
# Where the engine finds the file, and where the keys are.
CODE_DIR: Final = "/etc/llama-guard"
KEYS_DIR: Final = "/etc/llama-guard-keys"
# The guard's own setting: a directory with keys, or that none is asked for.
KEYS_VARIABLE: Final = "LLAMA_GUARD_KEYS"
NO_KEYS: Final = "none"

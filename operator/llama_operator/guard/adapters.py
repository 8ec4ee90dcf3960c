"""What loads LoRA adapters inside the engine, and how it gets there: as the guard does."""

from __future__ import annotations

from pathlib import Path
from typing import Final

MODULE: Final = "llama_adapters"
FILE: Final = Path(__file__).with_name(f"{MODULE}.py")
# Of `vllm serve --middleware`; the guard comes after it, and so stands before it.
MIDDLEWARE: Final = f"{MODULE}.Adapters"
# Where the engine finds the file, the list of adapters, and their files.
CODE_DIR: Final = "/etc/llama-adapters"
LIST_DIR: Final = "/etc/llama-adapters-list"
LIST: Final = "adapters.json"
FILES_DIR: Final = "/adapters"

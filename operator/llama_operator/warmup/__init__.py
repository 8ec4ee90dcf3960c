"""The warm-up request: a file that runs inside the engine, and how it gets there.

The operator never imports the file; its text travels in the template of the pods, as the guard's.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

MODULE: Final = "llama_warm_up"
FILE: Final = Path(__file__).with_name(f"{MODULE}.py")

# Of `vllm serve --middleware`.
MIDDLEWARE: Final = f"{MODULE}.WarmUp"

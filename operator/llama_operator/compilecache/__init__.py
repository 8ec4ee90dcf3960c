"""The keeper of a compile cache: a file that runs beside the engine, and how it gets there.

The operator never imports the file; its text travels in the template of the pods, as the guard's.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

MODULE: Final = "llama_compile_cache"
FILE: Final = Path(__file__).with_name(f"{MODULE}.py")

# Where the keeper finds its file, and the volume with what was kept.
CODE_DIR: Final = "/etc/llama-compile-cache"
STORE_DIR: Final = "/compile-cache"
# There once the engine may start; what is beside it was restored.
READY_FILE: Final = ".llama-restored"
# The keeper's settings: the cache of the engine, the volume, the key, and when the engine is well.
CACHE_VARIABLE: Final = "LLAMA_CACHE_DIR"
STORE_VARIABLE: Final = "LLAMA_CACHE_STORE"
KEY_VARIABLE: Final = "LLAMA_CACHE_KEY"
HEALTH_VARIABLE: Final = "LLAMA_CACHE_HEALTH"

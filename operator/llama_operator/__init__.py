"""A Kubernetes operator that serves Llama models with vLLM, at the right size."""

__version__ = "0.1.0"

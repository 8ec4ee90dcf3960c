"""llamactl: Llama models on Kubernetes from the command line, also as `kubectl llama`."""

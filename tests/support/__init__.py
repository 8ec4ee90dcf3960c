"""What tests and the demo stand on: a cluster, a hub, models, vLLM on a CPU."""

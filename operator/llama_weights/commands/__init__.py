"""The commands of llama-weights, one file for each group that belongs together."""

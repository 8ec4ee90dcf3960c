"""Snapshot, decide, apply, status: everything that is Llama and knows the API server."""

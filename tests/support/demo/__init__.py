"""`make demo`: from nothing to the answer of a real model on a real Kubernetes."""

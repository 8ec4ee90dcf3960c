"""Holds requests while a deployment has no replica, and lets it go back to none (docs/autoscaling.md).

One process beside one LlamaDeployment, behind the same Service as its servers, always.
"""

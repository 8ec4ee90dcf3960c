"""A real Kubernetes on one machine, for tests and the demo."""

from .cluster import Cluster
from .errors import ClusterError
from .progress import Progress

__all__ = ["Cluster", "ClusterError", "Progress"]

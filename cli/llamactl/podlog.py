"""The log of a container, line by line, through the API server."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from llamactl.api_errors import Attempt
from llamactl.kube import READ_SECONDS, Kube
from llamactl.resources import PODS


def lines(
    kube: Kube, pod: str, container: str, query: Mapping[str, str], *, follow: bool = False
) -> Iterator[bytes]:
    """The lines that there are, without their ends; with `follow` those that come as well.

    `query` is that of the API: tailLines, limitBytes, previous. Raises ApiError.
    """
    attempt = Attempt("get", PODS, kube.namespace, pod, "log")
    wanted = {**query, "container": container} | ({"follow": "true"} if follow else {})
    # A server that is well may be silent for as long as it likes.
    return kube.lines(attempt, wanted, read=None if follow else READ_SECONDS)

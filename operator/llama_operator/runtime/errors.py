"""What can go wrong when talking to a cluster, as a tree to catch by branch.

    ClusterError
    |- ApiError            the API server answered and said no; its message is kept for users
    |  |- BadRequest 400, Unauthorized 401, Forbidden 403, NotFound 404, MethodNotAllowed 405
    |  |- Conflict 409 (stale resourceVersion, uid or field manager), AlreadyExists 409
    |  |- Gone 410, Invalid 422, TooManyRequests 429
    |  `- ServerError 5xx
    |- TransportError      no usable answer: refused, cut, timed out, torn. A write may have landed
    |- NotLeader           refused here: this process may not write any more
    `- TerminalError       raised by a reconcile: trying again cannot help until something changes

Answers and transport failures are kept apart, because an alert on reconcile errors must not fire
for each restart of the API server.
"""

# ruff: noqa: N818 - named after the reasons of the API, as in client-go

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


class ClusterError(Exception):
    """Root of the tree."""


class TerminalError(ClusterError):
    """A reconcile failed in a way that no retry repairs; it waits for the next change."""


class NotLeader(ClusterError):
    """A write was refused on this side, because the lease is lost or about to be."""


class TransportError(ClusterError):
    """The API server could not be reached, or broke off before its answer was complete."""


class ApiError(ClusterError):
    """The API server refused.

    `status` is the HTTP code, `reason` the machine-readable word of the Status object, `message`
    its sentence, `details` its raw details and `retry_after` the seconds it asked to wait.
    """

    def __init__(
        self,
        status: int,
        reason: str = "",
        message: str = "",
        details: Mapping[str, Any] | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(status, reason, message)
        self.status = status
        self.reason = reason
        self.message = message
        self.details: Mapping[str, Any] = details or {}
        self.retry_after = retry_after

    @property
    def causes(self) -> list[dict[str, str]]:
        """Field errors of an Invalid answer: dicts with reason, message and field."""
        return list(self.details.get("causes") or [])

    def __str__(self) -> str:
        return f"{self.message or 'no message'} ({self.status} {self.reason or 'no reason'})"


class BadRequest(ApiError):
    """400."""


class Unauthorized(ApiError):
    """401: the credentials are unknown or expired."""


class Forbidden(ApiError):
    """403: RBAC, quota, admission or a terminating namespace said no."""


class NotFound(ApiError):
    """404: no such object, or no such kind on this server."""


class MethodNotAllowed(ApiError):
    """405."""


class Conflict(ApiError):
    """409: a precondition (resourceVersion, uid) or another field manager is in the way."""


class AlreadyExists(ApiError):
    """409 with reason AlreadyExists."""


class Gone(ApiError):
    """410: the resourceVersion or continue token is too old; list again."""


class Invalid(ApiError):
    """422: validation, CEL rules and immutable fields."""


class TooManyRequests(ApiError):
    """429: throttled, or an eviction that a PodDisruptionBudget forbids."""


class ServerError(ApiError):
    """5xx."""


_BY_STATUS: dict[int, type[ApiError]] = {
    400: BadRequest,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    405: MethodNotAllowed,
    409: Conflict,
    410: Gone,
    422: Invalid,
    429: TooManyRequests,
}


def _class_of(status: int, reason: str) -> type[ApiError]:
    if reason == "AlreadyExists":
        return AlreadyExists
    if status >= 500:
        return ServerError
    return _BY_STATUS.get(status, ApiError)


def from_status(body: Mapping[str, Any], retry_after: float | None = None) -> ApiError:
    """Build the error of a Kubernetes Status object, as in an ERROR event of a watch."""
    status = int(body.get("code") or 500)
    reason = str(body.get("reason") or "")
    details = body.get("details") or {}
    if retry_after is None and details.get("retryAfterSeconds"):
        retry_after = float(details["retryAfterSeconds"])
    message = str(body.get("message") or "")
    return _class_of(status, reason)(status, reason, message, details, retry_after)


def from_answer(status: int, body: bytes, retry_after: float | None = None) -> ApiError:
    """Build the error of an HTTP answer; proxies in between answer in plain text."""
    try:
        parsed = json.loads(body)
    except ValueError:
        parsed = None
    if isinstance(parsed, dict) and parsed.get("kind") == "Status":
        return from_status({**parsed, "code": parsed.get("code") or status}, retry_after)
    text = body[:1024].decode("utf-8", "replace").strip()
    return _class_of(status, "")(status, "", text, None, retry_after)

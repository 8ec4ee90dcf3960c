"""Addresses and tokens: checked before the first byte is sent anywhere.

A token goes to one origin only (scheme, host and port of the endpoint) and only over TLS.
"""

from __future__ import annotations

import re
from urllib.parse import urljoin, urlsplit

from llama_weights.errors import AccessError, UsageError
from llama_weights.sources.refusals import TOKEN_FIELD
from llama_weights.transport import ENDPOINT_FIELD

DEFAULT_ENDPOINT = "https://huggingface.co"
_REPO = re.compile(r"^[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}$", re.ASCII)
_REVISION = re.compile(r"^[A-Za-z0-9][\w./-]{0,254}$", re.ASCII)
_COMMIT = re.compile(r"^[0-9a-f]{40}$")
_PORTS = {"https": 443, "http": 80}


def check_repo(repo: str) -> str:
    """`org/name` itself. Raises UsageError."""
    if not _REPO.match(repo) or ".." in repo:
        raise UsageError(f"{repo[:120]!r} is not ORG/NAME", field="--repo")
    return repo


def check_revision(revision: str) -> str:
    """A branch, tag or commit. Raises UsageError."""
    if not _REVISION.match(revision) or ".." in revision:
        raise UsageError(f"{revision[:120]!r} is not a branch, tag or commit", field="--revision")
    return revision


def is_commit(revision: str) -> bool:
    """Whether a revision is a full commit id."""
    return bool(_COMMIT.match(revision))


def check_endpoint(endpoint: str, *, token: bool) -> str:
    """The endpoint without a slash at its end. Raises AccessError for one that is unfit."""
    try:
        parts = urlsplit(endpoint)
        sound = parts.scheme in _PORTS and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        sound = False
    if not sound or parts.username or parts.query or parts.fragment or not endpoint.isprintable():
        raise AccessError(
            "EndpointUnreachable",
            "is not a plain http(s) address without user, query and fragment",
            field=ENDPOINT_FIELD,
            fix=f"Write it like {DEFAULT_ENDPOINT}",
        )
    if token and parts.scheme != "https":
        raise AccessError(
            "EndpointUnreachable",
            f"a token is only sent over https, and {parts.hostname} is addressed by http",
            field=ENDPOINT_FIELD,
            fix="Use https, or remove tokenSecretRef",
        )
    return endpoint.rstrip("/")


def check_token(token: str) -> str:
    """The token itself. Raises AccessError (TokenInvalid) without ever quoting it."""
    problem = ""
    if "\n" in token or "\r" in token:
        problem = "contains a line break (`echo` adds one; use `printf %s` or --from-literal)"
    elif not (token.isascii() and token.isprintable()) or " " in token:
        problem = "contains spaces or characters that no token has"
    if problem:
        raise AccessError(
            "TokenInvalid",
            f"the token in the Secret {problem}",
            field=TOKEN_FIELD,
            fix="Make the Secret again with the bare token",
        )
    return token


def origin(url: str) -> tuple[str, str, int]:
    """Scheme, host and port: what a token is bound to."""
    parts = urlsplit(url)
    return parts.scheme, (parts.hostname or "").lower(), parts.port or _PORTS.get(parts.scheme, 0)


def redirected(url: str, location: str) -> str:
    """Where a redirect leads. Raises AccessError for one out of http(s) or down from TLS."""
    target = urljoin(url, location)
    try:
        scheme, host, _ = origin(target)
    except ValueError:
        scheme = host = ""
    weaker = urlsplit(url).scheme == "https" and scheme != "https"
    if not location or not host or scheme not in _PORTS or weaker:
        raise AccessError(
            "EndpointUnreachable",
            f"{urlsplit(url).hostname} redirects "
            + ("from https to http" if weaker and scheme == "http" else "to no usable address"),
            field=ENDPOINT_FIELD,
            fix="Use an endpoint that stays on https",
        )
    return target

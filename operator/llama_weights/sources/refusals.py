"""What a hub's refusal means and what to do about it: one reason for each.

A 401 means four things (no token, a bad token, a gated or a private repository) and the hub
hides which repositories exist from strangers, so the words depend on what was sent.
"""

from __future__ import annotations

import email.utils
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass

from llama_weights.errors import AccessError
from llama_weights.retry import RateLimitedError
from llama_weights.transport import ENDPOINT_FIELD

TOKEN_FIELD = "spec.source.huggingFace.tokenSecretRef"  # noqa: S105 - a field's name
REPO_FIELD = "spec.source.huggingFace.repo"
_RESET = re.compile(r";\s*t=(\d+)")
_LONGEST_WAIT = 24 * 3600.0
_BAD_TOKEN_FIX = "Put a valid token (huggingface.co/settings/tokens, read access) into that Secret"  # noqa: S105
_NO_TOKEN_FIX = "Put a token into a Secret under the key `token` and name the Secret there"  # noqa: S105


@dataclass(frozen=True)
class Asked:
    """What was asked for, in words for messages, and whether a token went with it."""

    what: str
    host: str
    token: bool
    own: bool = True


def refusal(status: int, headers: Mapping[str, str], asked: Asked) -> AccessError:
    """The error for an HTTP status that is not success."""
    said = _said(headers)
    code = headers.get("X-Error-Code", "")
    if status == 429:
        return _rate_limited(headers, asked)
    if not asked.own:
        return _server(status, asked, said)
    if status == 401:
        return _unauthorized(code, asked, said)
    if status == 403:
        return _forbidden(code, asked, said)
    if status in (404, 410):
        return _not_found(asked, said)
    return _server(status, asked, said)


def _unauthorized(code: str, asked: Asked, said: str) -> AccessError:
    if not asked.token:
        why = "is gated" if code == "GatedRepo" else "does not exist, is private or is gated"
        return AccessError(
            "TokenMissing",
            f"{asked.what} {why} and no token was given (401{said})",
            field=TOKEN_FIELD,
            fix=_NO_TOKEN_FIX,
        )
    if code == "RepoNotFound":
        return _not_found(asked, said)
    return AccessError(
        "TokenInvalid",
        f"{asked.host} does not accept the token (401{said})",
        field=TOKEN_FIELD,
        fix=_BAD_TOKEN_FIX,
    )


def _forbidden(code: str, asked: Asked, said: str) -> AccessError:
    if code == "GatedRepo" and asked.token:
        return AccessError(
            "LicenceNotAccepted",
            f"{asked.what} is gated and the token's owner has no access to it (403{said})",
            field=REPO_FIELD,
            fix="Accept the licence on the model's page with that account, and wait for approval",
        )
    if asked.token:
        return AccessError(
            "TokenInvalid",
            f"the token may not read {asked.what} (403{said})",
            field=TOKEN_FIELD,
            fix="Give the token read access to gated repositories",
        )
    return AccessError(
        "TokenMissing",
        f"{asked.what} may not be read without a token (403{said})",
        field=TOKEN_FIELD,
        fix=_NO_TOKEN_FIX,
    )


def _not_found(asked: Asked, said: str) -> AccessError:
    hidden = ", or the token's owner may not see it" if asked.token else ""
    return AccessError(
        "NotFound",
        f"{asked.what} does not exist on {asked.host}{hidden} (404{said})",
        field=REPO_FIELD,
        fix="Check repo and revision",
    )


def _rate_limited(headers: Mapping[str, str], asked: Asked) -> AccessError:
    wait = wait_of(headers)
    when = "does not say until when" if wait is None else f"asks to wait {wait:.0f} s"
    return RateLimitedError(
        f"{asked.host} answers 429 to too many requests from this address and {when}",
        wait,
        fix="A token raises the limit; the Job tries again by itself",
    )


def _server(status: int, asked: Asked, said: str) -> AccessError:
    return AccessError(
        "ServerError",
        f"{asked.host} answers {status} for {asked.what}{said}",
        field=ENDPOINT_FIELD,
        fix="Wait and try again; look at the hub's status page",
        # Links to a CDN expire, so a refusal there is answered by a fresh link.
        temporary=status >= 500 or status == 408 or not asked.own,
    )


def wait_of(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait by Retry-After (seconds or a date) or RateLimit (`t=`); None: not said."""
    text = headers.get("Retry-After", "").strip()
    if text.isdecimal():
        return min(float(text), _LONGEST_WAIT)
    if text:
        parsed = email.utils.parsedate_tz(text)
        if parsed:
            return min(max(0.0, email.utils.mktime_tz(parsed) - time.time()), _LONGEST_WAIT)
    match = _RESET.search(headers.get("RateLimit", ""))
    return min(float(match.group(1)), _LONGEST_WAIT) if match else None


def web_page(asked: Asked) -> AccessError:
    """A page for people where data was asked for: a login, a portal, a wrong address."""
    return AccessError(
        "EndpointUnreachable",
        f"{asked.host} answers {asked.what} with a web page (HTML, status 200)",
        field=ENDPOINT_FIELD,
        fix="A proxy's login page or a wrong address; open it with curl from a pod",
        temporary=True,
    )


def not_json(asked: Asked, why: str) -> AccessError:
    """Bytes that are not what the API answers."""
    return AccessError(
        "EndpointUnreachable",
        f"{asked.host} answers {asked.what} with {why}",
        field=ENDPOINT_FIELD,
        fix="Check that the address is a Hugging Face-compatible hub",
        temporary=True,
    )


def _said(headers: Mapping[str, str]) -> str:
    text = "".join(char for char in headers.get("X-Error-Message", "") if char.isprintable())
    return f": {text[:200]}" if text else ""

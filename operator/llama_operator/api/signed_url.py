"""The signed URL of Meta's e-mail: mended, and read without asking anybody.

It is a CloudFront URL with a custom policy: `https://HOST/*?Policy=...&Signature=...&Key-Pair-Id=...`,
where `*` stands for folder and file. The policy is JSON in base64 with `-_~` for `+=/`, so host and
expiry stand in the URL itself. On its way through mail programs it gets its `&` escaped, is wrapped
in a redirect of Facebook, broken over lines, or loses its `*`; all of that can be undone.
https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/private-content-creating-signed-url-custom-policy.html

The URL is a credential: no message of this module quotes its query.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import parse_qs, quote, urlsplit

from llama_operator.api.errors import LlamaError

NEW_URL: Final = (
    "Ask for a new e-mail at https://www.llama.com/llama-downloads and put its URL into the Secret"
)
_LONGEST: Final = 8192
_NO_ADDRESS: Final = "is not an https address"
_NEEDED: Final = ("Policy", "Signature", "Key-Pair-Id")
_REDIRECTS: Final = ("l.facebook.com", "lm.facebook.com", "www.google.com")
_FROM_URL: Final = str.maketrans("-_~", "+=/")


class UrlRefused(LlamaError):  # noqa: N818 - a verdict more than a failure
    """The URL is of no use; `reason` is one of the condition Accessible."""

    def __init__(self, reason: str, message: str, *, fix: str = NEW_URL) -> None:
        self.reason = reason
        super().__init__(message, fix=fix)


@dataclass(frozen=True)
class SignedUrl:
    """`base` is scheme, host and any path before the `*`; `expires` is in seconds since 1970."""

    base: str
    host: str
    expires: int
    query: str = field(repr=False)

    def address(self, path: str) -> str:
        """The address of FOLDER/FILE."""
        return f"{self.base}{quote(path)}?{self.query}"

    @property
    def expires_at(self) -> str:
        """The moment as Kubernetes writes it, 2026-01-01T00:00:00Z."""
        return datetime.fromtimestamp(self.expires, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    @property
    def version(self) -> str:
        """Tells two URLs apart without giving anything of them away: 48 bits of a hash."""
        return hashlib.sha256(f"{self.base}?{self.query}".encode()).hexdigest()[:12]

    def check_time(self, now: float) -> None:
        """Raises UrlRefused (URLExpired); `now` in seconds since 1970."""
        if now >= self.expires:
            raise UrlRefused("URLExpired", f"the URL for {self.host} expired at {self.expires_at}")


def read(text: str) -> SignedUrl:
    """What a text says that should be the URL. Raises UrlRefused (URLInvalid)."""
    if len(text) > _LONGEST:
        raise _garbage(f"has {len(text)} characters, no such URL has more than {_LONGEST}")
    try:
        mended = _unwrapped(html.unescape("".join(text.split()).strip("<>\"'")))
        parts = urlsplit(mended)
        sound = parts.scheme == "https" and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        raise _garbage(_NO_ADDRESS) from None
    plain = mended.isascii() and mended.isprintable() and parts.username is None
    if not sound or not plain:
        raise _garbage(_NO_ADDRESS)
    values = {name: found[0] for name, found in parse_qs(parts.query).items()}
    missing = [name for name in _NEEDED if name not in values]
    if missing:
        raise _garbage(
            f"lacks {', '.join(missing)}: it is not a signed URL, or not the whole of it"
        )
    resource, expires = _policy(values["Policy"])
    _check_host(resource, parts.hostname or "")
    # Without its `*` the path says nothing: the wildcard was lost, or somebody filled a file in.
    folder = parts.path.partition("*")[0].rpartition("/")[0] if "*" in parts.path else ""
    base = f"https://{parts.netloc}{folder}/"
    return SignedUrl(base, str(parts.hostname), expires, parts.query)


def _unwrapped(text: str) -> str:
    parts = urlsplit(text)
    if parts.hostname in _REDIRECTS:
        inner = parse_qs(parts.query)
        for name in ("u", "q", "url"):
            if name in inner:
                return inner[name][0]
    return text


def _policy(encoded: str) -> tuple[str, int]:
    try:
        # A wrapped line may have lost the padding.
        data = encoded.translate(_FROM_URL).rstrip("=")
        found = json.loads(base64.b64decode(data + "=" * (-len(data) % 4), validate=True))
        return _statement(found["Statement"][0])
    except (ValueError, KeyError, IndexError, TypeError, RecursionError):
        raise _garbage("has a Policy that cannot be read: a part of it is missing") from None


def _statement(raw: dict[str, Any]) -> tuple[str, int]:
    expires = raw["Condition"]["DateLessThan"]["AWS:EpochTime"]
    if isinstance(expires, bool) or not isinstance(expires, int) or not 0 < expires < 1 << 40:
        raise ValueError("expires")
    return str(raw["Resource"]), expires


def _check_host(resource: str, host: str) -> None:
    # A wildcard of the policy, such as https://*.llamameta.net/*, covers many hosts.
    named = re.sub(r"^[a-z*]+://", "", resource.lower()).partition("/")[0].partition(":")[0]
    pattern = "".join(".*" if char == "*" else re.escape(char) for char in named)
    if not re.fullmatch(pattern, host):
        raise _garbage(f"is for {named[:100]!r} by its policy, but names {host[:100]!r}")


def _garbage(why: str) -> UrlRefused:
    fix = "Copy the whole URL from Meta's e-mail; it begins with https:// and has Policy= in it"
    return UrlRefused("URLInvalid", f"the URL {why}", fix=fix)

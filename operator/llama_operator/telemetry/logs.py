"""Logs for machines (one JSON object a line) or for people (text), with secrets taken out.

Nothing of ours logs a secret on purpose; but errors quote what they were given, and libraries
quote their errors. So the last step before a line is written replaces what looks like a
credential, in message and traceback alike.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Literal, TextIO

Format = Literal["json", "text"]
Context = Callable[[], Mapping[str, str]]

_SECRETS = (
    # Authorization headers and bearer tokens, whatever their shape.
    (re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{8,}"), r"\1 ***"),
    # JSON Web Tokens: service accounts, OIDC.
    (re.compile(r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*"), "***"),
    # Hugging Face tokens.
    (re.compile(r"\bhf_[A-Za-z0-9]{8,}"), "***"),
    # Signed URLs (CloudFront as Meta uses it, S3, Azure, GCS).
    (
        re.compile(
            r"(?i)\b(policy|signature|key-pair-id|x-amz-signature|x-amz-credential"
            r"|x-amz-security-token|x-goog-signature|sig)=[^&\s\"']+"
        ),
        r"\1=***",
    ),
    # user:password@ in URLs.
    (re.compile(r"(?i)\b([a-z][a-z0-9+.-]*://)[^/\s:@]+:[^/\s@]+@"), r"\1***@"),
    # name=value of things that are called a secret; `secret: name` stays, it names an object.
    (
        re.compile(
            r"(?i)([\"']?\b[\w-]*(?:api[_-]?key|password|client[_-]?secret|secret[_-]?key|token)[\"']?\s*[=:]\s*)"
            r"(\"[^\"]*\"|'[^']*'|[^\s,;&}\"']{8,})"
        ),
        r"\1***",
    ),
)

_STANDARD = {*logging.makeLogRecord({}).__dict__, "message", "asctime", "taskName"}


def redact(text: str) -> str:
    """`text` without what looks like a credential."""
    for pattern, replacement in _SECRETS:
        text = pattern.sub(replacement, text)
    return text


class TextFormatter(logging.Formatter):
    """time level logger: message."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(name)s: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        """The line, traceback included."""
        return redact(super().format(record))


class JsonFormatter(logging.Formatter):
    """One object a line: ts, level, logger, msg, what it is about, extras, error with traceback.

    `context` tells what the line is about, asked as it is written.
    """

    def __init__(self, context: Context = dict) -> None:
        super().__init__()
        self._context = context

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        entry: dict[str, object] = {
            "ts": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "msg": redact(record.getMessage()),
            **self._context(),
        }
        extras = {k: v for k, v in record.__dict__.items() if k not in _STANDARD}
        entry |= {name: _plain(value) for name, value in extras.items()}
        if record.exc_info:
            entry["error"] = redact(self.formatException(record.exc_info))
        return json.dumps(entry, ensure_ascii=False)


def _plain(value: object) -> object:
    if isinstance(value, bool | int | float) or value is None:
        return value
    return redact(str(value))


def setup(
    style: Format = "json",
    level: str = "INFO",
    stream: TextIO | None = None,
    context: Context = dict,
) -> logging.Handler:
    """Send all logs of this process to `stream` (stderr); returns the handler.

    `context` adds to each JSON line what it is about; a line of text has it in its words.
    Raises ValueError for an unknown level. Libraries stay at WARNING unless level is DEBUG.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter(context) if style == "json" else TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    quiet = logging.DEBUG if root.level <= logging.DEBUG else logging.WARNING
    for name in ("aiohttp", "asyncio", "kubernetes", "urllib3"):
        logging.getLogger(name).setLevel(quiet)
    return handler

"""One log line per change of state, however often a thing is retried.

Retries of a broken thing repeat the same message with other numbers in it; the signature of a
failure leaves numbers and hexadecimal ids out, so that it is the same failure each time.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Hashable

from .errors import ApiError

_VOLATILE = re.compile(r"0x[0-9a-fA-F]+|[0-9a-f]{8}[0-9a-f-]*|\d+")


def signature(error: BaseException) -> str:
    """What identifies a failure across retries."""
    reason = f"{error.status} {error.reason}" if isinstance(error, ApiError) else ""
    return f"{type(error).__name__} {reason} {_VOLATILE.sub('#', str(error))}"


class StateLog:
    """Remembers per key which failure was logged last; healthy keys take no memory."""

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._failing: dict[Hashable, str] = {}

    def failed(
        self, key: Hashable, what: str, error: BaseException, *, trace: bool = False
    ) -> bool:
        """Log `what` and the error if this is news, with a traceback when `trace`."""
        text = signature(error)
        if self._failing.get(key) == text:
            self._log.debug("%s again: %s", what, error)
            return False
        self._failing[key] = text
        shown = str(error) or type(error).__name__
        self._log.warning("%s: %s", what, shown, exc_info=error if trace else None)
        return True

    def recovered(self, key: Hashable, what: str, *args: object) -> bool:
        """Log `what` % `args` if the key was failing."""
        if self._failing.pop(key, None) is None:
            return False
        self._log.info(what, *args)
        return True

    def forget(self, key: Hashable) -> None:
        """Drop the memory of a key without a line."""
        self._failing.pop(key, None)

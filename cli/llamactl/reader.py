"""Reading what one may, and saying what one may not, with the rule to ask for."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from llamactl.api_errors import ApiError
from llamactl.errors import sentence
from llamactl.kube import Kube

T = TypeVar("T")


class Reader:
    """Reads what it may, and keeps the words for what it may not."""

    def __init__(self, kube: Kube) -> None:
        self.kube = kube
        self.unread: list[str] = []

    def read(self, call: Callable[[], T]) -> T | None:
        """The answer, or None where the cluster refuses. Raises UnreachableError."""
        try:
            return call()
        except ApiError as error:
            self.note(error)
            return None

    def note(self, error: ApiError) -> None:
        """Keep a refusal, once."""
        text = f"{sentence(error.message)} {sentence(error.fix)}" if error.fix else error.message
        if text not in self.unread:
            self.unread.append(text)

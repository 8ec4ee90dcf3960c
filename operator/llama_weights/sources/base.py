"""What the downloader needs of a source: Hugging Face's hub or Meta's server."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from llama_weights.files import RemoteFile


class Stream(Protocol):
    """Bytes as they come; `start` is the offset in the file of the first."""

    start: int

    def readinto(self, buffer: memoryview) -> int:
        """Fill a buffer, or less at the end; 0 after it. Raises DownloadError."""

    def close(self) -> None:
        """No more is wanted."""


class Source(Protocol):
    """One checkpoint at one commit, its files and ranges of them. Thread-safe.

    `largest_range` is how many bytes one request asks for at the most, `format` what the
    manifest calls the files.
    """

    @property
    def repo(self) -> str:
        """Where it is from, for the manifest."""

    @property
    def commit(self) -> str:
        """40 hex digits; known once `wanted` was asked."""

    @property
    def format(self) -> str:
        """For the manifest."""

    @property
    def largest_range(self) -> int:
        """Bytes."""

    def wanted(self) -> list[RemoteFile]:
        """The files to fetch. Raises WeightsError."""

    def noted(self, state: Path) -> None:
        """The fetch begins; `state` is the directory of its bookkeeping."""

    def open(self, file: RemoteFile, start: int, end: int) -> Stream:
        """Bytes [start, end); one attempt, raises WeightsError or RangeIgnoredError."""

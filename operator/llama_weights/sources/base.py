"""What the downloader needs of a source; Hugging Face's hub is the first."""

from __future__ import annotations

from typing import Protocol

from llama_weights.files import RemoteFile
from llama_weights.sources.body import Body


class Source(Protocol):
    """Opens ranges of the files of one checkpoint at one commit. Thread-safe."""

    def open(self, file: RemoteFile, start: int, end: int) -> Body:
        """Bytes [start, end); one attempt, raises WeightsError or RangeIgnoredError."""

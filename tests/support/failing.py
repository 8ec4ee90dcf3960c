"""A volume that stops taking writes at a chosen moment: full, read-only or broken from then on.

A small file system fills up at one place only, and where depends on its blocks. Here every call of
this process that a file system may refuse is counted, and from the n-th on all of them are.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Iterator
from typing import Any
from unittest.mock import patch

from llama_weights import volume

# NFS and quotas tell of a full disk as late as in fsync; a rename may need a block for the name.
_CALLS = ("pwrite", "write", "fsync", "fdatasync", "ftruncate", "mkdir", "replace", "open")
_REMOVING = ("unlink", "rmdir")


class Failing:
    """Counts the calls; those from number `first` on fail with `code`. Threads share the count."""

    def __init__(self, code: int, first: int) -> None:
        self.code, self.first = code, first
        self.calls = 0

    def hit(self) -> bool:
        """One more call: does it fail?"""
        self.calls += 1
        return self.calls > self.first

    def wrapped(self, real: Callable[..., Any]) -> Callable[..., Any]:
        """A call of `os` that may fail."""

        def call(*args: Any, **options: Any) -> Any:
            reads = real.__name__ == "open" and not args[1] & os.O_CREAT
            if not reads and self.hit():
                raise OSError(self.code, os.strerror(self.code))
            return real(*args, **options)

        return call


@contextlib.contextmanager
def failing(code: int, first: int) -> Iterator[Failing]:
    """Every writing call from the given number on fails, until the block ends."""
    found = Failing(code, first)
    names = _CALLS + (_REMOVING if code == errno.EROFS else ())
    with contextlib.ExitStack() as stack:
        for name in names:
            stack.enter_context(patch.object(os, name, found.wrapped(getattr(os, name))))
        stack.enter_context(patch.object(volume, "_fallocate", _fallocate(found)))
        yield found


def _fallocate(found: Failing) -> Callable[..., bool]:
    real = volume._fallocate

    def call(*args: Any) -> bool:
        if found.hit():
            raise volume.explain(OSError(found.code, os.strerror(found.code)), args[2])
        return real(*args)

    return call

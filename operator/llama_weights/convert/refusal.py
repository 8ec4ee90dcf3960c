"""The two ways in which a checkpoint is turned down: it is broken, or it is of another kind.

Every message names the file, what was expected and what was met: a conversion that fails after
an hour with "size mismatch" is what users of the usual script report most.
"""

from __future__ import annotations

from pathlib import Path

from llama_weights.errors import FormatError

_AGAIN = "Compare the file with checklist.chk (md5) and download it again"
_LONGEST = 120


def corrupt(path: Path | str, message: str, fix: str = _AGAIN) -> FormatError:
    """The error for bytes that are not what their format, or the other files, say."""
    name = path.name if isinstance(path, Path) else path
    return FormatError("CorruptCheckpoint", message, field=name, fix=fix)


def unsupported(path: Path | str, message: str, fix: str) -> FormatError:
    """The error for a sound checkpoint that is not converted."""
    name = path.name if isinstance(path, Path) else path
    return FormatError("FormatUnsupported", message, field=name, fix=fix)


def shown(text: object) -> str:
    """A stranger's text, short and printable."""
    return repr(str(text)[:_LONGEST])

"""The exception tree of llama-weights; each ends in a condition of the LlamaWeights object.

    WeightsError             condition, reason, message; exit 1, or 75 where a retry may help
    ├── AccessError          Accessible   the hub refuses, or cannot be reached
    ├── VolumeError          VolumeReady  the volume is full or cannot be written
    ├── DownloadError        Downloaded   stalled, locked by another Job, changed on the server
    ├── VerifyError          Verified     bytes on disk are not those of the publisher
    ├── FormatError          Converted    nothing in the repository that vLLM loads
    ├── UsageError           (exit 2)     the command line is wrong
    └── Interrupted          (exit 75)    a signal came; what is there is kept for the next run

Reasons are those of the API's conditions, so a Job's last words need no translation.
"""

from __future__ import annotations

from typing import ClassVar

PERMANENT, USAGE, TEMPORARY = 1, 2, 75


class WeightsError(Exception):
    """A failure that a user can act on: the condition it ends in, why, and the way out.

    `temporary` says whether the same command may succeed later without anybody's help.
    """

    condition: ClassVar[str] = "Downloaded"

    def __init__(
        self,
        reason: str,
        message: str,
        *,
        field: str = "",
        fix: str = "",
        temporary: bool = False,
    ) -> None:
        super().__init__(message)
        self.reason, self.message, self.field, self.fix = reason, message, field, fix
        self.temporary = temporary

    def __str__(self) -> str:
        head = f"{self.field}: {self.message}" if self.field else self.message
        return f"{head.rstrip('.')}. {self.fix}" if self.fix else head

    @property
    def exit_code(self) -> int:
        """What the process ends with."""
        return TEMPORARY if self.temporary else PERMANENT


class AccessError(WeightsError):
    """The source refuses, or cannot be reached."""

    condition = "Accessible"


class VolumeError(WeightsError):
    """The volume does not take the bytes."""

    condition = "VolumeReady"


class DownloadError(WeightsError):
    """The bytes did not arrive."""


class VerifyError(WeightsError):
    """What lies on the disk is not what the publisher published."""

    condition = "Verified"


class FormatError(WeightsError):
    """The repository holds nothing that vLLM can load."""

    condition = "Converted"


class UsageError(WeightsError):
    """The command line is wrong; nothing was tried."""

    def __init__(self, message: str, *, field: str = "", fix: str = "") -> None:
        super().__init__("Failed", message, field=field, fix=fix)

    @property
    def exit_code(self) -> int:
        """Usage."""
        return USAGE


class Interrupted(WeightsError):  # noqa: N818 - a signal more than an error
    """The process was asked to stop."""

    def __init__(self) -> None:
        super().__init__(
            "Downloading",
            "Stopped by a signal; finished ranges are kept and the next run goes on from them",
            temporary=True,
        )

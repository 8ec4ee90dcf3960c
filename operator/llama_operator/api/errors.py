"""The exception tree of the operator and of llamactl.

    LlamaError                 exit 1   anything a user can act on
    ├── UsageError             exit 2   the command line or an argument is wrong
    ├── NotReadyError          exit 3   not ready, or a wait ran out of time
    ├── UrlRefused             exit 1   a signed URL is of no use (signed_url.py)
    └── PlanRefused            exit 1   the planner says no; carries the Planned condition's reason
        └── UnknownModel       exit 1   the model is not in the catalogue

Every one names the field, what is wrong with it and the way out, because the same words end
in a condition, in an event and on a terminal: a message that is worded in three places drifts.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar


class LlamaError(Exception):
    """Something is wrong that a person can put right.

    `field` is the path of the input at fault ("spec.gpu.count" or "--gpus"), `message` says
    what is wrong with which limit, `fix` is one sentence that says what to do.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, field: str = "", fix: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.field = field
        self.fix = fix

    def __str__(self) -> str:
        head = f"{self.field}: {self.message}" if self.field else self.message
        return f"{head.rstrip('.')}. {self.fix}" if self.fix else head


class UsageError(LlamaError):
    """The command line is wrong; nothing was tried."""

    exit_code: ClassVar[int] = 2


class NotReadyError(LlamaError):
    """The object is not ready, or did not become so within the time given."""

    exit_code: ClassVar[int] = 3


class PlanRefused(LlamaError):  # noqa: N818 - a verdict more than a failure
    """No plan exists for what was asked.

    `reason` is a reason of the condition Planned. `choices` are the nearest inputs that would
    be accepted, best first; unless a fix is given they make the fix.
    """

    def __init__(
        self,
        reason: str,
        message: str,
        choices: Iterable[str] = (),
        *,
        field: str = "",
        fix: str = "",
    ) -> None:
        self.reason = reason
        self.choices = tuple(choices)
        offered = f"Nearest choices: {', '.join(self.choices)}" if self.choices else ""
        super().__init__(message, field=field, fix=fix or offered)


class UnknownModel(PlanRefused):
    """The text names no model that is known; `choices` are the nearest names."""

    def __init__(
        self, message: str, choices: Iterable[str] = (), *, field: str = "spec.model", fix: str = ""
    ) -> None:
        super().__init__("UnknownModel", message, choices, field=field, fix=fix)

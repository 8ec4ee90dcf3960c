"""One rule of admission, in the API server's own language (CEL)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Rule:
    """A CEL rule on the field at `path` ("" is the object), reported at `field` below it."""

    path: str
    rule: str
    message: str
    field: str = ""

    def to_schema(self) -> dict[str, str]:
        """The entry of x-kubernetes-validations."""
        entry = {"rule": self.rule, "message": self.message}
        return {**entry, "fieldPath": self.field} if self.field else entry

"""What goes wrong with the local cluster, always together with the way out."""

from __future__ import annotations


class ClusterError(Exception):
    """A step of the local cluster failed; `fix` says what the user can do about it."""

    def __init__(self, message: str, fix: str = "") -> None:
        super().__init__(f"{message}. {fix}" if fix else message)
        self.message = message
        self.fix = fix

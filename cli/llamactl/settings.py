"""What every command is told about the cluster, whether before or after the command's name.

`kubectl` takes `-n` on either side of the verb and so do we: the group and the commands write
into the same object, and the later word wins. Every command that we suggest carries the same
flags again, so that it can be pasted.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass

import click


@dataclass
class Settings:
    """The flags shared by all commands; empty text means not given."""

    prog: str = "llamactl"
    namespace: str = ""
    context: str = ""
    kubeconfig: str = ""

    def llamactl(self, *words: str) -> str:
        """A command line of ours to suggest to the user."""
        return " ".join([self.prog, *map(shlex.quote, words), *self._flags()])

    def kubectl(self, *words: str) -> str:
        """A kubectl command line to suggest to the user."""
        return " ".join(["kubectl", *map(shlex.quote, words), *self._flags()])

    def _flags(self) -> list[str]:
        given = (("-n", self.namespace), ("--context", self.context))
        flags = [word for flag, value in given if value for word in (flag, shlex.quote(value))]
        if self.kubeconfig:
            flags.append(f"--kubeconfig={shlex.quote(self.kubeconfig)}")
        return flags


def current() -> Settings:
    """The settings of the running command."""
    return click.get_current_context().ensure_object(Settings)

"""What `list` and `weights ls` share: read, print in any form, follow the changes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import click

from llamactl import output, view
from llamactl.errors import CliError
from llamactl.kube import Kube, open_cluster
from llamactl.resources import Resource

Object = Mapping[str, Any]


class Table(Protocol):
    """Objects as a table; `wide` is never narrowed, it is for wide terminals and pipes."""

    def __call__(self, found: Sequence[Object], width: int, *, wide: bool, everywhere: bool) -> str:
        """One line a row, the first is the head."""


@dataclass(frozen=True)
class Listing:
    """A kind, its table, and what to say and to suggest where there is none."""

    resource: Resource
    table: Table
    plural: str
    suggestion: Sequence[str]
    everywhere: bool
    fmt: str

    def run(self, selector: str, watch: bool) -> None:
        """Print what there is; with `watch`, a line for every change, and no end."""
        if watch and self.fmt in ("json", "yaml"):
            raise click.UsageError(
                f"--watch prints lines; use -o table, wide or name, not {self.fmt}"
            )
        kube = open_cluster()
        found, version = kube.list_at(self.resource, selector=selector, everywhere=self.everywhere)
        if not found and self.fmt in ("table", "wide") and not watch:
            self._nothing(kube)
            return
        self._show(found)
        if watch:
            for obj, line in self._changes(kube, found, version, selector):
                output.data(self._name(obj) if self.fmt == "name" else line)

    def _nothing(self, kube: Kube) -> None:
        where = "any namespace" if self.everywhere else f"namespace {kube.namespace!r}"
        output.talk(f"No {self.plural} in {where}. Make one:")
        output.hint(kube.settings.llamactl(*self.suggestion))

    def _show(self, found: Sequence[Object]) -> None:
        if self.fmt in ("json", "yaml"):
            output.document(output.object_list(found), self.fmt)
        elif self.fmt == "name":
            for obj in found:
                output.data(self._name(obj))
        else:
            output.data(self._text(found))

    def _text(self, found: Sequence[Object]) -> str:
        wide = self.fmt == "wide"
        return self.table(found, output.width(), wide=wide, everywhere=self.everywhere)

    def _name(self, obj: Object) -> str:
        return view.full_name(obj, self.resource)

    def _changes(
        self, kube: Kube, found: Sequence[Object], version: str, selector: str
    ) -> Iterator[tuple[Object, str]]:
        """Each changed object with its line, aligned with the table of all."""
        known = {_key(obj): obj for obj in found}
        while True:
            events = kube.watch(
                self.resource, version=version, selector=selector, everywhere=self.everywhere
            )
            for kind, obj in events:
                if kind == "ERROR":
                    raise CliError(
                        f"the watch ended: {obj.get('message', kind)}", fix="Start it again"
                    )
                version = str(view.path(obj, "metadata", "resourceVersion") or version)
                known[_key(obj)] = {**obj, "deleted": kind == "DELETED"}
                yield obj, self._line(known, obj)
                if kind == "DELETED":
                    known.pop(_key(obj))

    def _line(self, known: dict[tuple[str, str], Object], obj: Object) -> str:
        return self._text(list(known.values())).split("\n")[1 + list(known).index(_key(obj))]


def _key(obj: Object) -> tuple[str, str]:
    return str(view.path(obj, "metadata", "namespace") or ""), view.name_of(obj)

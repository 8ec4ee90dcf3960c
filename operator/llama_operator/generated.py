"""What programs that generate files have in common: `--write`, and `--check` that nothing differs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


def modes(directory: Path) -> Callable[[F], F]:
    """Add --write/--check, and --directory with this default."""

    def add(function: F) -> F:
        where = click.option(
            "--directory",
            type=click.Path(file_okay=False, path_type=Path),
            default=directory,
            show_default=True,
            help="Where the files are.",
        )
        mode = click.option(
            "--write/--check", required=True, help="Write the files, or fail if they differ."
        )
        return mode(where(function))

    return add


def differing(directory: Path, wanted: Mapping[str, str], foreign: str = "") -> list[str]:
    """Names that are missing or differ; of what matches `foreign` also those that nobody wants."""
    there = (
        {str(path.relative_to(directory)) for path in directory.glob(foreign)} if foreign else ()
    )
    return sorted(name for name in {*wanted, *there} if _read(directory / name) != wanted.get(name))


def settle(file: Path, text: str, *, write: bool) -> None:
    """Write one page, or raise ClickException if it is not so."""
    if write:
        _write(file, text)
    elif _read(file) != text:
        raise click.ClickException(f"{file} is not as generated. Run `make generate`.")


def write(directory: Path, wanted: Mapping[str, str]) -> None:
    """Write all files, with the directories that they are in."""
    for name, text in wanted.items():
        _write(directory / name, text)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def _read(path: Path) -> str | None:
    return path.read_text() if path.exists() else None

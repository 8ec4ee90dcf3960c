"""gc: show what may go from a volume, ask, and take it away."""

from __future__ import annotations

import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import click

from llama_weights import gc
from llama_weights.errors import WeightsError
from llama_weights.gc import Rubbish
from llama_weights.meter import duration
from llama_weights.volume import size

_DAY = 86_400.0


@click.command("gc")
@click.argument("root", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option(
    "--older-than",
    default=7.0,
    show_default=True,
    type=click.FloatRange(0),
    metavar="DAYS",
    help="Only what nothing was written to for so long.",
)
@click.option(
    "--remove", "names", multiple=True, metavar="PATH", help="A copy below ROOT; can be repeated."
)
@click.option("--dry-run", is_flag=True, help="Only show.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def gc_command(
    root: Path, older_than: float, names: tuple[str, ...], dry_run: bool, yes: bool
) -> None:
    """Remove unfinished fetches and conversions below ROOT, and copies that are named.

    A published copy is never removed unless it is named: a server may be reading it. A directory
    with files that no fetch has made stays as it is.

    \b
    Examples:
      llama-weights gc /weights --dry-run
      llama-weights gc /weights --remove llama-3.1-8b/0123456789abcdef --yes
    """
    try:
        found = [*gc.find(root, older_than * _DAY), *(gc.named(root, name) for name in names)]
    except WeightsError as error:
        click.echo(f"Error: {error}", err=True)
        raise SystemExit(error.exit_code) from None
    kept = [each for each in found if each.strangers]
    for each in kept:
        click.echo(f"{_shown(root, each)} stays: no fetch has made {_listed(each.strangers)}")
    found = [each for each in found if not each.strangers]
    if not found:
        click.echo("Nothing to remove.")
        raise SystemExit(1 if names and kept else 0)
    _show(root, found)
    if dry_run or not (yes or _agreed()):
        return
    raise SystemExit(_removed(root, found))


def _show(root: Path, found: list[Rubbish]) -> None:
    from rich.console import Console  # noqa: PLC0415 - only people need it
    from rich.table import Table  # noqa: PLC0415

    table = Table("DIRECTORY", "WHY", "SIZE", "IDLE", box=None)
    for each in found:
        shown = _shown(root, each)
        table.add_row(shown, each.why, size(each.bytes), duration(each.idle_seconds))
    Console().print(table)
    click.echo(f"{size(sum(each.bytes for each in found))} in all.")


def _shown(root: Path, each: Rubbish) -> str:
    return each.path.resolve().relative_to(root.resolve()).as_posix()


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more


def _agreed() -> bool:
    if not sys.stdin.isatty():
        click.echo("Nothing was removed: say --yes where there is no terminal to ask.", err=True)
        raise SystemExit(2)
    return click.confirm("Remove them?")


def _removed(root: Path, found: list[Rubbish]) -> int:
    code = 0
    for each in found:
        try:
            gc.remove(each, threading.Event())
            click.echo(f"removed {_shown(root, each)}")
        except (WeightsError, OSError) as error:
            busy = " (somebody is at work there)" if gc.is_busy(error) else ""
            click.echo(f"Error: {_shown(root, each)}: {error}{busy}", err=True)
            code = 1
    return code

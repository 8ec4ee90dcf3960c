"""The click classes of ours: help with examples, commands that load late, one way to end.

`llamactl --help` must answer at once, so the group knows names and one line of each command
and imports a command only when it runs. `main` is the only place that turns exceptions into
exit codes, for the script and for tests alike.
"""

from __future__ import annotations

import difflib
import importlib
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import click

from llamactl.output import PipeClosed
from llamactl.settings import Settings

INTERRUPTED = 130
PIPE_CLOSED = 141
WIDTH = 100
WORDS = "llamactl.words"


class Command(click.Command):
    """A command whose help ends with examples."""

    def __init__(self, *args: Any, examples: Sequence[str] = (), **kwargs: Any) -> None:
        kwargs.setdefault("context_settings", {"help_option_names": ["-h", "--help"]})
        super().__init__(*args, **kwargs)
        self.examples = list(examples)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse, and keep the words, for commands that suggest themselves in another form."""
        ctx.meta[WORDS] = list(args)
        return super().parse_args(ctx, args)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples, then the epilog."""
        write_examples(ctx, formatter, self.examples)
        super().format_epilog(ctx, formatter)


class LazyGroup(click.Group):
    """A group of commands that are imported when they are called.

    `sections` maps a heading to its commands and their one-line help; `aliases` are further
    names that the help does not list.
    """

    def __init__(
        self,
        *args: Any,
        package: str,
        sections: Mapping[str, Mapping[str, str]],
        aliases: Mapping[str, str] | None = None,
        examples: Sequence[str] = (),
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.package = package
        self.sections = sections
        self.aliases = dict(aliases or {})
        self.examples = list(examples)
        self.lines = {name: line for part in sections.values() for name, line in part.items()}

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """All names, for completion."""
        return sorted(self.lines)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import a command's module and take its `command`."""
        name = self.aliases.get(cmd_name, cmd_name)
        if name not in self.lines:
            return None
        module = importlib.import_module(f"{self.package}.{name.replace('-', '_')}")
        command: click.Command = module.command
        command.short_help = self.lines[name]
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command, or say which ones are near."""
        if self.get_command(ctx, args[0]) is None and not args[0].startswith("-"):
            near = difflib.get_close_matches(args[0], self.lines, n=2)
            offer = f"; did you mean {' or '.join(near)}?" if near else ""
            ctx.fail(f"no command {args[0]!r}{offer}")
        return super().resolve_command(ctx, args)

    def format_commands(
        self,
        ctx: click.Context,  # noqa: ARG002
        formatter: click.HelpFormatter,
    ) -> None:
        """List the commands under their headings, without importing any."""
        longest = max(map(len, self.lines))
        for heading, commands in self.sections.items():
            with formatter.section(heading):
                rows = [(name.ljust(longest), line) for name, line in commands.items()]
                formatter.write_dl(rows)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples, then the epilog."""
        write_examples(ctx, formatter, self.examples)
        super().format_epilog(ctx, formatter)

    def main(  # type: ignore[override]
        self, args: Sequence[str] | None = None, prog_name: str | None = None, **extra: Any
    ) -> NoReturn:
        """Run, and leave the process with the exit code that the help documents."""
        prog = prog_name or program_name()
        extra = {**extra, "standalone_mode": False, "obj": Settings(prog=prog)}
        sys.exit(_guarded(lambda: super(LazyGroup, self).main(args, prog, **extra)))


def program_name() -> str:
    """How the user called us: llamactl, or `kubectl llama` as a plugin."""
    name = os.path.basename(sys.argv[0])  # noqa: PTH119 - pathlib would slow --help down
    return "kubectl llama" if name == "kubectl-llama" else "llamactl"


def write_examples(
    ctx: click.Context, formatter: click.HelpFormatter, examples: Sequence[str]
) -> None:
    """Write example command lines as their own section, under the name that was called."""
    if not examples:
        return
    prog = ctx.find_root().info_name or "llamactl"
    with formatter.section("Examples"):
        for line in examples:
            text = line.replace("llamactl", prog, 1) if line.startswith("llamactl") else line
            formatter.write(f"{'':>{formatter.current_indent}}{text}\n")


def _guarded(run: Any) -> int:
    try:
        result = run()
        if sys.stdout is not None:  # closed with >&-
            sys.stdout.flush()
        return result if isinstance(result, int) else 0
    except (KeyboardInterrupt, click.Abort):
        click.echo("", err=True)
        return INTERRUPTED
    except (BrokenPipeError, PipeClosed):
        _silence_stdout()
        return PIPE_CLOSED
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except Exception as error:
        from llamactl.errors import show

        return show(error)


def _silence_stdout() -> None:
    # The interpreter flushes stdout once more at exit and would complain about the closed pipe.
    devnull = os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, sys.stdout.fileno())

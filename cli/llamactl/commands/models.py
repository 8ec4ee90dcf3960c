"""`llamactl models`: the catalogue, offline."""

from __future__ import annotations

from typing import Any

import click

from llamactl import options, output
from llamactl.command import Command


class Models(click.Group):
    """A group whose help ends with examples, and which lists when no word follows."""

    examples = (
        "llamactl models",
        "llamactl models show llama-3-70b",
        "llamactl models compare 8b 70b",
        "llamactl models --all -o json | jq '.[].id'",
    )

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples."""
        from llamactl.command import write_examples

        write_examples(ctx, formatter, self.examples)


@click.group(
    cls=Models,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.option("--all", "everything", is_flag=True, help="Also those that cannot be served.")
@options.output("table", "wide", "json", "yaml", "name")
@click.pass_context
def command(ctx: click.Context, everything: bool, fmt: str) -> None:
    """List the models of the catalogue; `show` and `compare` say more.

    NAME below is an id of the list, or a short form such as 70b, llama-3-8b or an id of
    Hugging Face or Meta. LLAMACTL_MODELS may name a file with models of your own.
    """
    if ctx.invoked_subcommand:
        return
    from llamactl import models_view

    found = models_view.listed(everything)
    if fmt == "name":
        for model in found:
            output.data(model.id)
    elif fmt in ("json", "yaml"):
        output.document([models_view.facts(model) for model in found], fmt)
    else:
        output.data(models_view.table(found, output.width(), wide=fmt == "wide"))


@command.command(
    cls=Command, examples=["llamactl models show 8b", "llamactl models show 8b -o json"]
)
@click.argument("name")
@options.output("table", "json", "yaml")
def show(name: str, fmt: str) -> None:
    """Show all facts of the model NAME."""
    from llamactl import models_view

    model = models_view.find(name)
    if fmt in ("json", "yaml"):
        output.document(models_view.facts(model), fmt)
    else:
        output.data(models_view.page(model, output.width()))


@command.command(cls=Command, examples=["llamactl models compare 8b 70b 405b"])
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@options.output("table", "json", "yaml")
def compare(names: tuple[str, ...], fmt: str) -> None:
    """Compare models side by side."""
    from llamactl import models_view

    found: list[Any] = [models_view.find(name) for name in names]
    if fmt in ("json", "yaml"):
        output.document([models_view.facts(model) for model in found], fmt)
    else:
        output.data(models_view.comparison(found, output.width()))

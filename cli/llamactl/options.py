"""Options that several commands share, so that they are spelled and explained the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from llamactl.settings import Settings

F = TypeVar("F", bound=Callable[..., Any])

DURATION_HELP = "such as 90s, 30m or 1h30m"


def _keep(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
    if value and param.name:
        setattr(ctx.ensure_object(Settings), param.name, value)


def cluster(function: F) -> F:
    """Add -n, --context and --kubeconfig; their values go to Settings, not to the function."""
    for names, help_text in (
        (("--kubeconfig",), "Kubeconfig file. Default: $KUBECONFIG, then ~/.kube/config."),
        (("--context",), "Context of the kubeconfig. Default: its current one."),
        (("-n", "--namespace"), "Namespace. Default: that of the context."),
    ):
        option = click.option(
            *names, callback=_keep, expose_value=False, metavar="TEXT", help=help_text
        )
        function = option(function)
    return function


def output(*formats: str) -> Callable[[F], F]:
    """Add -o with the formats that a command knows; the first is the default."""
    return click.option(
        "-o",
        "--output",
        "fmt",
        type=click.Choice(formats),
        default=formats[0],
        show_default=True,
        help="Form of the answer.",
    )


def listing(function: F) -> F:
    """Add what every list takes: -A, -l, -w and -o."""
    for option in (
        output("table", "wide", "json", "yaml", "name"),
        click.option(
            "-w", "--watch", is_flag=True, help="Go on, and print a line for every change."
        ),
        click.option(
            "-l", "--selector", default="", metavar="LABELS", help="Only with these labels."
        ),
        click.option(
            "-A", "--all-namespaces", "everywhere", is_flag=True, help="Of all namespaces."
        ),
    ):
        function = option(function)
    return function


def hf_token(function: F) -> F:
    """Add the two ways to give a token of Hugging Face."""
    named = click.option(
        "--hf-token-secret",
        default="",
        metavar="NAME[:KEY]",
        help="Secret that already holds the token; KEY defaults to token.",
    )
    given = click.option(
        "--hf-token-file",
        type=click.File("r"),
        help="Hugging Face token; stored in Secret hf-token of the namespace. - reads stdin.",
    )
    return given(named(function))


def assignments(function: F) -> F:
    """Add --set."""
    return click.option(
        "--set",
        "assignments",
        multiple=True,
        metavar="PATH=VALUE",
        help="Any other field of the spec; can be repeated.",
    )(function)


DRY_RUNS = {
    "client": "judge it here, ask no cluster",
    "server": "have the API server judge it",
}


def dry_run(*kinds: str) -> Callable[[F], F]:
    """Add --dry-run with the kinds that a command knows; it writes nothing."""
    return click.option(
        "--dry-run",
        type=click.Choice(["none", *kinds]),
        default="none",
        help=" ".join(f"{kind}: {DRY_RUNS[kind]}." for kind in kinds),
    )


class Duration(click.ParamType[float]):
    """A span of time; the value is whole seconds, at least 0."""

    name = "duration"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Seconds of "90s", "30m", "1h30m" or "45" (seconds)."""
        from llamactl.units import parse_duration

        if isinstance(value, int | float):
            return float(value)
        seconds = parse_duration(str(value))
        if seconds is None:
            self.fail(f"{value!r} is not a span of time; write one {DURATION_HELP}", param, ctx)
        return seconds


class Rate(click.ParamType[float]):
    """A speed; the value is bytes per second, above 0."""

    name = "rate"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Bytes per second of "1Gbit" or "125MB/s"."""
        from llamactl.units import parse_rate

        if isinstance(value, int | float):
            return float(value)
        rate = parse_rate(str(value))
        if rate is None:
            self.fail(
                f"{value!r} is no speed above 0; write one such as 1Gbit or 125MB/s", param, ctx
            )
        return rate


def timeout(default: str) -> Callable[[F], F]:
    """Add --timeout."""
    return click.option(
        "--timeout",
        type=Duration(),
        default=default,
        show_default=True,
        help=f"How long to wait, {DURATION_HELP}. After it the exit code is 3.",
    )


def name_argument(function: F) -> F:
    """Add NAME, which completes from the cluster."""
    from llamactl.complete import deployment_names

    return click.argument("name", shell_complete=deployment_names)(function)


def weights_argument(function: F) -> F:
    """Add NAME of a LlamaWeights, which completes from the cluster."""
    from llamactl.complete import weights_names

    return click.argument("name", shell_complete=weights_names)(function)

"""The options that steer an answer, the same for `chat` and `complete`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


def sampling(max_tokens: int) -> Callable[[F], F]:
    """Add --max-tokens, --temperature and --seed; those not given stay out of the request."""

    def add(function: F) -> F:
        for names, kind, default, text in (
            (("--seed",), click.IntRange(0), None, "Same seed and prompt, same answer."),
            (
                ("--temperature",),
                click.FloatRange(0, 2),
                None,
                "0 is the likeliest answer, more is freer. Default: the model's own.",
            ),
            (("--max-tokens",), click.IntRange(1), max_tokens, "Longest answer, in tokens."),
        ):
            function = click.option(
                *names, type=kind, default=default, show_default=default is not None, help=text
            )(function)
        return function

    return add


def given(settings: dict[str, Any]) -> dict[str, Any]:
    """The options that were given."""
    return {key: value for key, value in settings.items() if value is not None}

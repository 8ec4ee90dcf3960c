"""`llamactl complete`: let a deployed model continue a text."""

from __future__ import annotations

import sys
from typing import Any

import click

from llamactl import options, output
from llamactl.command import Command
from llamactl.sampling import given, sampling


@click.command(
    cls=Command,
    examples=[
        'llamactl complete my-llama "The capital of France is"',
        'llamactl complete my-llama "Once upon a time" --max-tokens 200 --temperature 0.7',
        "llamactl complete my-llama - < prompt.txt",
        'llamactl complete my-llama "2 + 2 =" -o json',
    ],
)
@options.name_argument
@click.argument("prompt")
@sampling(max_tokens=128)
@click.option("--stream/--no-stream", default=True, help="Show words as they come (default).")
@options.output("text", "json")
@options.cluster
def command(name: str, prompt: str, stream: bool, fmt: str, **settings: Any) -> None:
    """Let the model of deployment NAME continue PROMPT; - reads the prompt from stdin.

    This is the raw continuation; `chat` applies the model's chat template.
    """
    from llamactl import engine
    from llamactl.kube import open_cluster

    text = sys.stdin.read() if prompt == "-" else prompt
    if not text:
        raise click.UsageError("PROMPT is empty; give a text, or - to read it from stdin")
    target = engine.find(open_cluster(), name)
    body = {"prompt": text, **given(settings)}
    if fmt == "json":
        output.document(engine.ask(target, "/v1/completions", body), "json")
    elif stream:
        for piece in engine.stream(target, "/v1/completions", body):
            output.part(_text(piece))
        output.data("")
    else:
        output.data(_text(engine.ask(target, "/v1/completions", body)))


def _text(answer: dict[str, Any]) -> str:
    return "".join(str(choice.get("text") or "") for choice in answer.get("choices") or [])

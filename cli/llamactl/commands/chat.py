"""`llamactl chat`: a conversation, or one question and its answer."""

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
        "llamactl chat my-llama",
        'llamactl chat my-llama "What is the capital of France?"',
        'llamactl chat my-llama --system "Answer in French." "What is a llama?"',
        "git diff | llamactl chat my-llama --system 'Write a commit message for this diff.'",
    ],
)
@options.name_argument
@click.argument("prompt", required=False)
@click.option("--system", default="", metavar="TEXT", help="System prompt.")
@sampling(max_tokens=512)
@click.option("--stream/--no-stream", default=True, help="Show words as they come (default).")
@options.cluster
def command(name: str, prompt: str | None, system: str, stream: bool, **settings: Any) -> None:
    """Talk with the model of deployment NAME.

    With PROMPT, or with text on stdin, one answer; on a terminal without PROMPT a conversation
    that remembers. In it, /clear forgets, /system TEXT changes the system prompt, /exit or
    Ctrl-D ends; Ctrl-C stops an answer.
    """
    from llamactl import conversation, engine
    from llamactl.kube import open_cluster

    if prompt is None and not sys.stdin.isatty():
        prompt = sys.stdin.read().strip()
    if prompt is not None and not prompt:
        raise click.UsageError("PROMPT is empty; give a question as argument or on stdin")
    target = engine.find(open_cluster(), name)
    talk = conversation.Conversation(target, system, given(settings), stream=stream)
    if prompt is not None:
        talk.answer(prompt)
        return
    output.talk(f"Talking with {target.model}; /exit or Ctrl-D ends.")
    conversation.loop(talk)

"""The steps of `plan`: read the model, ask the planner, show its answer."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

import click

from llama_operator.api.errors import LlamaError, PlanRefused
from llama_operator.planner.checkpoint import known_bytes
from llama_operator.planner.delivery import Delivery
from llamactl import asking, candidates, output, plan_json, source
from llamactl.asking import options
from llamactl.candidates import Answer, Candidate
from llamactl.command import WORDS
from llamactl.errors import BadValueError, CliError, sentence
from llamactl.plan_yaml import manifest
from llamactl.settings import current


def run(model: str, given: Mapping[str, Any], fmt: str, explain: bool) -> bool:
    """Plan and show; False where nothing fits. Raises BadValueError for a bad argument."""
    found: source.Source | None = None
    try:
        found = source.find(model, given["revision"])
        answer = candidates.answer(asking.requests(found, given))
    except PlanRefused as error:
        answer = Answer(None, (), error)
    except CliError:
        raise
    except LlamaError as error:
        # Not a refusal but a value that cannot be, such as a vLLM version of letters.
        field = options(error.field)
        raise BadValueError(error.message, field=field, fix=options(error.fix)) from error
    if found and found.said:
        output.talk(found.said)
    _show(answer, found, given, fmt, explain)
    if answer.refused:
        _refuse(answer.refused)
    return answer.chosen is not None


def _show(
    answer: Answer, found: source.Source | None, given: Mapping[str, Any], fmt: str, explain: bool
) -> None:
    if found is None:
        if fmt == "json":
            output.document(plan_json.document(answer, None, ""), "json")
        return
    delivery = _delivery(found, given)
    if fmt == "json":
        output.document(plan_json.document(answer, delivery, found.commit), "json")
    elif fmt == "yaml" and answer.chosen:
        output.document(manifest(found, answer.chosen, given), "yaml")
    elif fmt == "table":
        from llamactl.plan_view import text

        yaml = output.to_yaml(manifest(found, answer.chosen, given)) if answer.chosen else ""
        shown = text(answer, found, delivery, output.width(), explain, yaml)
        if shown:
            output.data(shown)
    if answer.chosen and fmt != "json":
        _next(found, answer.chosen, fmt)


def _next(found: source.Source, chosen: Candidate, fmt: str) -> None:
    """What to do with the manifest, and where it cannot be applied as it is."""
    if found.local:
        output.talk(
            f"spec.model is the folder's name: write the ORG/REPO that holds {found.model}."
        )
    if chosen.plan.nodes > 1:
        output.talk("The operator serves one node a replica today: start vLLM on these yourself.")
    elif fmt == "table":
        output.talk("To serve it:")
        output.hint(f"{_as_yaml()} | {current().kubectl('apply', '-f', '-')}")


def _as_yaml() -> str:
    """The command that is running, with the manifest as its answer."""
    context = click.get_current_context()
    words = [word for word in context.meta[WORDS] if word != "--explain"]
    words = [word for word in words if word not in ("-o", "--output", "table")]
    return " ".join([current().prog, "plan", *map(shlex.quote, words), "-o", "yaml"])


def _delivery(found: source.Source, given: Mapping[str, Any]) -> Delivery:
    size = found.file_bytes or known_bytes(found.shape, found.weights_bytes)
    return Delivery(size, given["bandwidth"], given["read_speed"])


def _refuse(error: PlanRefused) -> None:
    field = options(error.field)
    message = f"{field}: {error.message}" if field else error.message
    output.talk(f"{output.bad('Error:')} {sentence(options(message))}")
    if error.fix:
        output.talk(sentence(options(error.fix)))

"""What the demo prints: one place, so that it reads like one voice."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.support.cluster import tools
from tests.support.cluster.errors import ClusterError
from tests.support.stack import Stack

_OUT = Console(highlight=False, soft_wrap=True)
_GIB = 1 << 30


def line(text: str) -> None:
    """A plain line."""
    _OUT.print(text, markup=False)


def command(text: str) -> None:
    """What a user would type."""
    _OUT.print(f"\n[bold]$ {text}[/bold]")


def failed(text: str) -> None:
    """The demo stops here."""
    _OUT.print(f"demo: {text}", style="red", markup=False)


def question(text: str) -> None:
    """What is asked."""
    _OUT.print(f"\n[bold]asked with the openai client:[/bold] {text}")


def answer(text: str) -> None:
    """What the model said."""
    _OUT.print(f"[bold]answer:[/bold] [green]{text}[/green]")


def refusal(condition: dict[str, Any]) -> None:
    """The condition of a deployment that was refused."""
    _OUT.print(f"Planned={condition['status']} ({condition['reason']})", markup=False)
    _OUT.print(f"  {condition['message']}", markup=False)


def judged(condition: dict[str, Any]) -> dict[str, Any] | None:
    """The condition once it says True or False."""
    return condition if condition.get("status") in ("True", "False") else None


def news(stack: Stack, name: str, said: set[str]) -> Iterable[str]:
    """Messages of the deployment and its weights that were not shown yet."""
    for text in _messages(stack, name):
        if text and text not in said:
            said.add(text)
            yield text


def _messages(stack: Stack, name: str) -> list[str]:
    try:
        deployment = stack.get("llama", name)
        ready = _ready(deployment)
        status = stack.get("llamaweights", deployment["status"]["weights"]["name"])["status"]
    except (ClusterError, KeyError):
        return []
    progress = status.get("progress", {})
    return [ready, _progress(progress) if progress.get("bytesTotal") else ""]


def _ready(deployment: dict[str, Any]) -> str:
    conditions = deployment.get("status", {}).get("conditions", [])
    return next((str(entry["message"]) for entry in conditions if entry["type"] == "Ready"), "")


def _progress(progress: dict[str, Any]) -> str:
    done, total = int(progress.get("bytesDone", 0)), int(progress["bytesTotal"])
    return f"{progress.get('phase', 'Fetching')}: {done / 1e6:.0f} of {total / 1e6:.0f} MB"


def plan(planned: dict[str, Any]) -> None:
    """The plan as a table."""
    table = Table(title="plan", title_justify="left", show_header=False, box=None, padding=(0, 2))
    for key in (
        "gpus",
        "tensorParallel",
        "pipelineParallel",
        "dtype",
        "maxModelLen",
        "maxNumSeqs",
        "kvTokens",
    ):
        table.add_row(key, str(planned.get(key, "")))
    for key, value in planned.get("perGpu", {}).items():
        if value:
            table.add_row(f"perGpu.{key}", f"{value / _GIB:.2f} GiB")
    _OUT.print()
    _OUT.print(table)
    _OUT.print(planned.get("reason", ""), markup=False)


def timeline(moments: Iterable[tuple[float, str]]) -> None:
    """Seconds and what was reached."""
    table = Table(
        title="timeline", title_justify="left", show_header=False, box=None, padding=(0, 2)
    )
    for seconds, what in moments:
        table.add_row(f"{seconds:5.0f} s", what)
    _OUT.print()
    _OUT.print(table)


def closing(state: Path, seconds: float) -> None:
    """What to do next."""
    kubectl = tools.path_of("kubectl")
    _OUT.print(f"\ndone in {seconds:.0f} s. The cluster is up; have a look:", markup=False)
    _OUT.print(
        f"  export KUBECONFIG={(state / 'kubeconfig').absolute()} PATH={kubectl.parent}:$PWD/.venv/bin:$PATH"
    )
    _OUT.print("  kubectl get llamas,llamaweights,pods        llamactl status smollm2")
    _OUT.print('  llamactl chat smollm2 "Tell me a joke"       make cluster-down   # ends it')

"""preflight and fetch: what talks to a hub or to Meta's server."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from llama_weights import adapter as adapters
from llama_weights import meta_fetch
from llama_weights.errors import UsageError
from llama_weights.fetch import Wish, fetch
from llama_weights.meta_fetch import MetaWish, find_model
from llama_weights.meter import Meter
from llama_weights.preflight import preflight
from llama_weights.retry import Patience, Policy
from llama_weights.running import METRICS, PROGRESS, RESULT, published, run, watched
from llama_weights.sources.address import DEFAULT_ENDPOINT, check_repo, check_revision, is_commit
from llama_weights.sources.client import Client, account
from llama_weights.sources.huggingface import Checkpoint
from llama_weights.transport import Transport

HUB, META = "huggingface", "meta"
_LONGEST_BACKOFF = 10.0
F = TypeVar("F", bound=Callable[..., Any])


def _asking(function: F) -> F:
    """The options of everything that asks a server."""
    for option in (
        click.option("--stall-timeout", default=30.0, show_default=True, help="Without a byte."),
        RESULT,
        click.option("--folder", default="", help="Meta: folder on the server."),
        click.option("--adapter", is_flag=True, help="Hugging Face: a LoRA adapter."),
        click.option("--entry", default="", metavar="JSON", help="Meta: entry of a catalogue."),
        click.option("--model", default="", metavar="ID", help="Meta: id of the catalogue."),
        click.option("--endpoint", default="", help="Hub address; default HF_ENDPOINT."),
        click.option("--repo", default="", metavar="ORG/NAME", help="Hugging Face."),
        click.option(
            "--source",
            default=HUB,
            show_default=True,
            type=click.Choice([HUB, META]),
            help="Whose protocol the files come by.",
        ),
    ):
        function = option(function)
    return function


@click.command("preflight")
@_asking
@click.option("--revision", default="main", show_default=True, help="Branch, tag or commit.")
@click.option("--retries", default=4, show_default=True, help="Failures in a row.")
@click.option("--rate-limit-wait", default=20.0, show_default=True, help="Seconds in all.")
def preflight_command(
    source: str,
    repo: str,
    model: str,
    entry: str,
    folder: str,
    revision: str,
    endpoint: str,
    result_file: Path | None,
    stall_timeout: float,
    retries: int,
    rate_limit_wait: float,
    adapter: bool,
) -> None:
    """Ask for access, commit, size and shape, without a volume.

    \b
    Examples:
      llama-weights preflight --repo meta-llama/Llama-3.1-8B-Instruct
      META_URL="$(cat url.txt)" llama-weights preflight --source meta --model llama-3.1-8b
    """

    def work(patience: Patience) -> dict[str, Any]:
        if source == META:
            wish = MetaWish(find_model(model, entry), Path("/nowhere"), folder)
            return meta_fetch.preflight(wish, patience)
        client = _client(endpoint, patience, 1)
        if adapter:
            return adapters.look(client, check_repo(repo), check_revision(revision))
        return vars(preflight(client, check_repo(repo), check_revision(revision)))

    policy = Policy(retries, _LONGEST_BACKOFF, stall_timeout, rate_limit_wait=rate_limit_wait)
    run(work, policy, result_file)


@click.command("fetch")
@_asking
@click.option("--commit", default="", help="Hugging Face: full commit id (40 hex digits).")
@click.option(
    "--dest",
    required=True,
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Directory of the copy.",
)
@click.option(
    "--connections",
    default=16,
    show_default=True,
    type=click.IntRange(1, 256),
    help="Requests at once.",
)
@click.option("--max-bytes-per-second", default=0, type=click.IntRange(0), help="0: no limit.")
@click.option("--keep-originals", is_flag=True, help="Meta: keep the .pth files in DIR.original.")
@PROGRESS
@METRICS
@click.option("--retries", default=6, show_default=True, help="Failures in a row.")
@click.option("--rate-limit-wait", default=900.0, show_default=True, help="Seconds in all.")
@click.option("--lock-ttl", default=60.0, show_default=True, help="Seconds of silence.")
def fetch_command(
    source: str,
    dest: Path,
    result_file: Path | None,
    progress_object: str,
    metrics_port: int,
    retries: int,
    stall_timeout: float,
    rate_limit_wait: float,
    **given: Any,
) -> None:
    """Download what vLLM needs into DIR, verified, its manifest last; goes on where it stopped.

    Meta's own files are converted to safetensors. The token is taken from HF_TOKEN and Meta's
    signed URL from META_URL, never from arguments.

    \b
    Examples:
      llama-weights fetch --repo org/name --commit 0123...cdef --dest /models/name
      META_URL="$(cat url.txt)" llama-weights fetch --source meta --model llama-3.1-8b \\
        --dest /models/llama-3.1-8b
    """
    bring = _from_meta if source == META else _from_hub

    def work(patience: Patience) -> dict[str, Any]:
        meter = Meter()
        with watched(meter, progress_object, metrics_port):
            return published(bring(dest.absolute(), meter, patience, **given))

    policy = Policy(retries, _LONGEST_BACKOFF, stall_timeout, rate_limit_wait=rate_limit_wait)
    run(work, policy, result_file)


def _from_hub(dest: Path, meter: Meter, patience: Patience, **given: Any) -> Any:
    commit, connections = given["commit"], given["connections"]
    if not is_commit(commit):
        raise UsageError(f"{commit[:80]!r} is not a full commit id", field="--commit")
    client = _client(given["endpoint"], patience, connections)
    chosen = (adapters.select, adapters.FORMAT) if given["adapter"] else ()
    source = Checkpoint(client, check_repo(given["repo"]), commit, *chosen)
    wish = Wish(dest, connections, given["max_bytes_per_second"], given["lock_ttl"])
    return fetch(wish, source, meter, patience)


def _from_meta(dest: Path, meter: Meter, patience: Patience, **given: Any) -> Any:
    wish = MetaWish(
        find_model(given["model"], given["entry"]),
        dest,
        given["folder"],
        given["connections"],
        given["max_bytes_per_second"],
        given["keep_originals"],
    )
    return meta_fetch.fetch_meta(wish, meter, patience)


def _client(endpoint: str, patience: Patience, connections: int) -> Client:
    address = endpoint or os.environ.get("HF_ENDPOINT", "") or DEFAULT_ENDPOINT
    # Checked before anything else is set up: nothing may be asked with an unfit token.
    checked = account(address, os.environ.get("HF_TOKEN", ""))
    return Client(checked, Transport(patience.policy, connections), patience)

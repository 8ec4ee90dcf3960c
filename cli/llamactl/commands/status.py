"""`llamactl status`: one deployment in full."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from llamactl import options, output
from llamactl.command import Command

if TYPE_CHECKING:
    from llamactl.kube import Kube
    from llamactl.stages import Snapshot


@click.command(
    cls=Command,
    examples=[
        "llamactl status my-llama",
        "llamactl status my-llama -o json | jq .status.plan",
        "llamactl status my-llama --wait --timeout 10m",
    ],
)
@options.name_argument
@click.option("--wait", is_flag=True, help="Wait until it is ready, then show it.")
@options.timeout("30m")
@options.output("table", "json", "yaml", "name")
@options.cluster
def command(name: str, wait: bool, timeout: float, fmt: str) -> None:
    """Show deployment NAME: conditions, plan and what came of it, weights, pods, warnings.

    The exit code is 0 when it could be shown, ready or not; `--wait` makes readiness count.
    """
    from llamactl import view, waiting
    from llamactl.kube import open_cluster
    from llamactl.progress import display

    kube = open_cluster()
    seen = waiting.snapshot(kube, name)
    if wait:
        follow = kube.settings.llamactl("status", name)
        with waiting.goes_on(name, follow), display() as shown:
            uid = str(view.path(seen.deployment, "metadata", "uid") or "")
            seen = waiting.until_ready(kube, name, uid, timeout, shown)
    if fmt in ("json", "yaml"):
        output.document(output.clean(seen.deployment), fmt)
    elif fmt == "name":
        output.data(view.full_name(seen.deployment))
    else:
        _page(kube, seen)


def _page(kube: Kube, seen: Snapshot) -> None:
    from llamactl import checkup, status_view
    from llamactl.reader import Reader

    reader = Reader(kube)
    warnings = checkup.warnings(reader, [seen.deployment, seen.weights, *seen.pods])
    text = status_view.text(seen, kube.settings, output.width(), warnings, reader.unread)
    output.data(text)

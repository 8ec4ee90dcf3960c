"""`python -m llama_operator.telemetry.dashboards --write | --check`: the JSON in the chart."""

from __future__ import annotations

from pathlib import Path

import click

from llama_operator import generated
from llama_operator.telemetry.dashboards import ALL
from llama_operator.telemetry.dashboards.grafana import render

DIRECTORY = Path(__file__).parents[4] / "charts" / "llama-operator" / "files" / "dashboards"


@click.command()
@generated.modes(DIRECTORY)
def main(*, write: bool, directory: Path) -> None:
    """Generate the Grafana dashboards from their descriptions."""
    wanted = {f"{each.uid}.json": render(each) for each in ALL}
    if write:
        generated.write(directory, wanted)
    elif stale := generated.differing(directory, wanted, "*.json"):
        raise click.ClickException(
            f"{directory}: {', '.join(stale)} are not as generated. Run `make generate`."
        )


if __name__ == "__main__":
    main()

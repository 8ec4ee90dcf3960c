"""`python -m llama_operator.telemetry.dashboards --write | --check`: the JSON in the chart."""

from __future__ import annotations

from pathlib import Path

import click

from llama_operator.telemetry.dashboards import ALL
from llama_operator.telemetry.dashboards.grafana import render

DIRECTORY = Path(__file__).parents[4] / "charts" / "llama-operator" / "files" / "dashboards"


@click.command()
@click.option("--write/--check", required=True, help="Write the files, or fail if they differ.")
@click.option(
    "--directory",
    type=click.Path(file_okay=False, path_type=Path),
    default=DIRECTORY,
    show_default=True,
    help="Where the dashboards are.",
)
def main(*, write: bool, directory: Path) -> None:
    """Generate the Grafana dashboards from their descriptions."""
    wanted = {f"{each.uid}.json": render(each) for each in ALL}
    if write:
        directory.mkdir(parents=True, exist_ok=True)
        for name, text in wanted.items():
            (directory / name).write_text(text)
        return
    found = {path.name: path.read_text() for path in directory.glob("*.json")}
    stale = sorted(name for name in wanted | found if wanted.get(name) != found.get(name))
    if stale:
        raise click.ClickException(
            f"{directory}: {', '.join(stale)} are not as generated. Run `make generate`."
        )


if __name__ == "__main__":
    main()

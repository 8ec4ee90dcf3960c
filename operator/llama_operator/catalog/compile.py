"""Makes models.json and gpus.json of the YAML beside them.

`--write` writes them, `--check` fails where they are not what the YAML says: a fact that was
corrected in the YAML only would otherwise be read by people and not by the planner.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import yaml

from llama_operator.catalog import schema
from llama_operator.catalog.model import flatten

HERE = Path(__file__).parent
TABLES = ("models", "gpus")


def compiled(table: str, source: Path = HERE) -> bytes:
    """The JSON of a table. Raises UsageError where models.yaml does not follow its schema."""
    data: Any = yaml.safe_load((source / f"{table}.yaml").read_bytes())
    if table == "models":
        data["models"] = [flatten(each) for each in schema.read_models(data)]
        del data["shapes"]
    return json.dumps(data, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"


def stale(source: Path = HERE) -> list[str]:
    """Names of the JSON files that are missing or differ from what their YAML says."""
    found = []
    for table in TABLES:
        target = source / f"{table}.json"
        if not target.exists() or target.read_bytes() != compiled(table, source):
            found.append(target.name)
    return found


@click.command()
@click.option("--write/--check", default=False, help="Write the files, or only compare them.")
def main(write: bool) -> None:
    """Compile the catalogue's YAML to the JSON that is loaded at run time."""
    changed = stale()
    if write:
        for name in changed:
            (HERE / name).write_bytes(compiled(Path(name).stem))
            click.echo(f"wrote {HERE / name}")
    elif changed:
        raise click.ClickException(
            f"{', '.join(changed)} is not what the YAML says; "
            "run `python -m llama_operator.catalog.compile --write`"
        )


if __name__ == "__main__":
    main()

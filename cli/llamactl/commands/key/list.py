"""`llamactl key list`: which API keys an endpoint takes, without the keys."""

from __future__ import annotations

import click

from llamactl import options, output
from llamactl.command import Command


@click.command(cls=Command, examples=["llamactl key list my-llama"])
@options.name_argument
@options.output("table", "json", "yaml", "name")
@options.cluster
def command(name: str, fmt: str) -> None:
    """List the entries of the Secret of deployment NAME: each is a key. No key is printed."""
    from llamactl import apikey, table
    from llamactl.kube import open_cluster

    kube = open_cluster()
    keys = apikey.entries(kube, kube.deployment(name))
    rows = [(each.name, each.told(apikey.now())) for each in keys.entries]
    if fmt == "name":
        for entry, _ in rows:
            output.data(entry)
    elif fmt == "table":
        output.talk(f"Secret {keys.secret}:")
        columns = [table.Column("ENTRY"), table.Column("KEY")]
        output.data(table.render(columns, rows, output.width()))
    else:
        found = [{"entry": entry, "key": told} for entry, told in rows]
        output.document({"secret": keys.secret, "entries": found}, fmt)

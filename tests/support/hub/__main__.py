"""`python -m tests.support.hub --port 8090 --repo ORG/NAME=DIRECTORY`: the emulator by hand."""

from __future__ import annotations

import asyncio
import signal
import ssl
from pathlib import Path

import click

from tests.support.hub import Hub, Repository, parse_fault


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=0, help="0: any free one")
@click.option("--repo", "repos", multiple=True, required=True, metavar="ORG/NAME=DIRECTORY")
@click.option("--token", default="", help="required for every repository")
@click.option("--gated", is_flag=True, help="the licence must be accepted (by the token's owner)")
@click.option("--fault", "faults", multiple=True, metavar="KIND[:key=value,...]")
@click.option("--tls-cert", type=click.Path(path_type=Path, exists=True))
@click.option("--tls-key", type=click.Path(path_type=Path, exists=True))
def main(
    host: str,
    port: int,
    repos: tuple[str, ...],
    token: str,
    gated: bool,
    faults: tuple[str, ...],
    tls_cert: Path | None,
    tls_key: Path | None,
) -> None:
    """Serve directories as Hugging Face repositories until a signal comes."""
    found = [_repository(text, token, gated) for text in repos]
    try:
        switches = [parse_fault(text) for text in faults]
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--fault") from None
    hub = Hub(found, faults=switches, host=host, port=port, tls=_tls(tls_cert, tls_key))
    asyncio.run(_serve(hub))


def _repository(text: str, token: str, gated: bool) -> Repository:
    name, _, directory = text.partition("=")
    if name.count("/") != 1 or not Path(directory).is_dir():
        raise click.BadParameter(f"{text!r} is not ORG/NAME=DIRECTORY", param_hint="--repo")
    return Repository.scan(name, Path(directory), token=token, gated=gated)


def _tls(certificate: Path | None, key: Path | None) -> ssl.SSLContext | None:
    if certificate is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context


async def _serve(hub: Hub) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    await hub.start()
    click.echo(f"hub {hub.url} (files from {hub.cdn_url})")
    for repository in hub.repositories.values():
        click.echo(f"  {repository.id}@{repository.commit} {len(repository.blobs)} files")
    await stopped.wait()
    await hub.stop()


if __name__ == "__main__":
    main()

"""Meta's URL, renewed: which Secret a copy reads it from, and what follows."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import IO, Any

import click

from llamactl import credentials, manifest, metaurl, modelname, output, view
from llamactl.errors import BadValueError, CliError
from llamactl.kube import Kube, Object
from llamactl.weights_view import until


def run(kube: Kube, name: str, file: IO[str] | None) -> None:
    """Judge the URL, write it, say what follows. Raises BadValueError, CliError."""
    obj = kube.weights(name)
    meta = _source(kube, obj)
    reference = meta.get("urlSecretRef") or {}
    resolved = modelname.resolve(str(view.path(obj, "spec", "model")))
    field = "--file" if file else "URL"
    folder = str(meta.get("folder") or "")
    url, read = metaurl.judged(_text(file), resolved, folder, field)
    key = str(reference.get("key") or manifest.URL_KEY)
    credentials.store_url(kube, str(reference["name"]), url, key)
    output.talk(f"It expires at {read.expires_at}, in {until(read.expires_at)}.")
    if view.path(obj, "status", "digest"):
        output.talk(f"{name} is complete; it needs no URL any more.")
        return
    output.talk("The fetch goes on by itself within a minute:")
    output.hint(kube.settings.llamactl("weights", "ls", "--watch"))


def _source(kube: Kube, obj: Object) -> Mapping[str, Any]:
    meta = view.path(obj, "spec", "source", "meta")
    if not isinstance(meta, dict) or not (meta.get("urlSecretRef") or {}).get("name"):
        raise CliError(
            f"{view.name_of(obj)} does not come from Meta's server, so it has no URL",
            fix="Its source is in spec.source",
            next=kube.settings.llamactl("weights", "ls", "-o", "wide"),
        )
    return meta


def _text(file: IO[str] | None) -> str:
    if file is not None:
        return file.read()
    if sys.stdin.isatty():
        return str(click.prompt("URL of Meta's e-mail (not shown)", hide_input=True, err=True))
    text = sys.stdin.read()
    if not text.strip():
        raise BadValueError("stdin is empty", field="URL", fix="Give it with --file url.txt")
    return text

"""What opens a source of weights: read from a file or stdin, stored in a Secret, shown nowhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import IO, Any

from llamactl import manifest, output
from llamactl.errors import BadValueError
from llamactl.kube import Kube
from llamactl.resources import SECRETS


def refuse_two(given: Mapping[str, Any]) -> None:
    """One source of weights, one credential for it, of these options. Raises BadValueError."""
    tokens = [option for option in ("hf_token_file", "hf_token_secret") if given[option]]
    if len(tokens) == 2:
        raise BadValueError(
            "it names a Secret, and --hf-token-file makes one",
            field="--hf-token-secret",
            fix="Keep one of them",
        )
    if tokens and given["meta_url_file"]:
        raise BadValueError(
            "a token is for Hugging Face, and --meta-url-file is for Meta's server",
            field=f"--{tokens[0].replace('_', '-')}",
            fix="Keep one of them",
        )


def store_token(kube: Kube, file: IO[str], *, overwrite: bool) -> None:
    """Put a Hugging Face token where the operator finds it. Raises BadValueError."""
    secret = manifest.token_secret(kube.namespace, _token(file))
    kube.apply(SECRETS, secret, force=overwrite)
    output.talk(
        f"Token stored in Secret {manifest.TOKEN_SECRET}; every model of namespace "
        f"{kube.namespace} may use it."
    )


def url_secret_name(name: str) -> str:
    """The Secret of the URL that comes with a deployment or a copy."""
    return f"{name}-meta-url"


def store_url(kube: Kube, name: str, url: str, key: str = manifest.URL_KEY) -> None:
    """Put Meta's URL into an entry of a Secret; other entries stay."""
    # A new e-mail for the same deployment is what people come back with.
    kube.apply(SECRETS, manifest.url_secret(kube.namespace, name, url, key), force=True)
    output.talk(f"URL stored in Secret {name}.")


def _token(file: IO[str]) -> str:
    words = file.read().split()
    if len(words) != 1:
        found = "nothing" if not words else f"{len(words)} words"
        raise BadValueError(
            f"{file.name} holds {found}; it must hold one token",
            field="--hf-token-file",
            fix="Make one at https://huggingface.co/settings/tokens",
        )
    return words[0]

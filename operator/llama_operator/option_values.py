"""Values of options of `llama-operator run`, read and refused. Each raises click.BadParameter."""

from __future__ import annotations

import re

import click

from llama_operator.api.fields import ENDPOINT_PATTERN
from llama_operator.api.reserved import reserved_env
from llama_operator.api.v1alpha1_weights import CaBundle


def bundle(text: str) -> CaBundle | None:
    """CONFIGMAP or CONFIGMAP/KEY; None where it is empty."""
    name, _, key = text.partition("/")
    try:
        return CaBundle(config_map_name=name, key=key or "ca.crt") if text else None
    except ValueError:
        raise click.BadParameter(
            f"{text!r} is not CONFIGMAP or CONFIGMAP/KEY", param_hint="--ca-bundle"
        ) from None


def pairs(texts: tuple[str, ...], option: str) -> tuple[tuple[str, str], ...]:
    """Each NAME=VALUE, and of one name the last; variables that open a server are refused."""
    found = []
    for text in texts:
        name, equals, value = text.partition("=")
        if not name or not equals:
            raise click.BadParameter(f"{text!r} is not NAME=VALUE", param_hint=option)
        found.append((name, value))
    names = [name for name, _ in found]
    refused = reserved_env(names) if option == "--group-env" else []
    if refused:
        raise click.BadParameter(f"{', '.join(refused)} opens the server", param_hint=option)
    return tuple(dict(found).items())


def otlp(text: str) -> str:
    """An address of a collector."""
    if not re.fullmatch(ENDPOINT_PATTERN, text):
        raise click.BadParameter(
            f"{text!r} is not http://HOST:PORT or http://HOST:PORT/PATH",
            param_hint="--otlp-endpoint",
        )
    return text


def client_ca(path: str, directory: str) -> str:
    """A file of authorities; nobody shows a certificate without TLS."""
    if path and not directory:
        raise click.BadParameter(
            "clients show certificates over TLS only; name --metrics-tls-dir as well",
            param_hint="--metrics-client-ca",
        )
    return path

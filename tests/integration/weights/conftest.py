"""Hubs for the tests of llama-weights: a plain one and one over TLS with a gated repository."""

from __future__ import annotations

import ssl
from collections.abc import Iterator

import pytest
from tests.support.cluster.pki import Authority, Pair
from tests.support.hub import Hub
from tests.support.hub.command import TOKEN
from tests.support.hub.sample import repository


@pytest.fixture
def hub() -> Iterator[Hub]:
    """A hub with the sample, without faults."""
    with Hub([repository()]) as hub:
        yield hub


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """A certificate authority for hubs over TLS."""
    authority = Authority(tmp_path_factory.mktemp("pki"))
    authority.create()
    return authority


@pytest.fixture(scope="session")
def server_certificate(authority: Authority) -> Pair:
    """Valid for 127.0.0.1 and localhost."""
    return authority.server("hub", "hub", ["127.0.0.1", "localhost"])


@pytest.fixture
def secure(server_certificate: Pair) -> Iterator[Hub]:
    """A hub over TLS with a gated repository; its CDN has another host name."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(server_certificate.certificate, server_certificate.key)
    with Hub([repository(token=TOKEN, gated=True)], tls=context, cdn_host="localhost") as hub:
        yield hub

"""The token reaches the endpoint over TLS, and nobody and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.cluster.pki import Authority
from tests.support.hub import Hub, parse_fault
from tests.support.hub.command import (
    TOKEN,
    assert_complete,
    fetch,
    files_in,
    preflight,
)
from tests.support.hub.sample import REPO


def test_the_token_reaches_the_endpoint_only(
    secure: Hub, authority: Authority, tmp_path: Path
) -> None:
    env = {"HF_TOKEN": TOKEN, "SSL_CERT_FILE": str(authority.ca.certificate)}
    outcomes = [preflight(secure.url, REPO, env=env), fetch(secure, tmp_path / "d", env=env)]

    assert_complete(outcomes[1], secure, tmp_path / "d")
    assert {request.authorization for request in secure.seen("resolve")} == {f"Bearer {TOKEN}"}
    assert secure.seen("cdn")
    assert {request.authorization for request in secure.seen("cdn")} == {""}
    left = [*map(str, files_in(tmp_path).values()), *(each.output for each in outcomes)]
    assert not any(TOKEN in text for text in left)


def test_a_redirect_to_a_stranger_does_not_get_the_token(
    secure: Hub, authority: Authority, tmp_path: Path
) -> None:
    stranger = f"https://localhost:{secure.port}"  # the same server by a name that is not its own
    secure.faults.append(parse_fault(f"redirect:on=resolve,host={stranger}"))
    env = {"HF_TOKEN": TOKEN, "SSL_CERT_FILE": str(authority.ca.certificate)}
    outcome = preflight(secure.url, REPO, env=env)

    arrived = [request for request in secure.requests if request.host.startswith("localhost")]
    assert arrived
    assert {request.authorization for request in arrived} == {""}
    assert outcome.verdict[:2] == (1, "Accessible")


def test_a_redirect_down_to_http_is_refused(secure: Hub, authority: Authority) -> None:
    with Hub() as plain:
        secure.faults.append(parse_fault(f"redirect:host={plain.url}"))
        env = {"HF_TOKEN": TOKEN, "SSL_CERT_FILE": str(authority.ca.certificate)}
        outcome = preflight(secure.url, REPO, env=env)
        assert outcome.verdict == (1, "Accessible", "EndpointUnreachable")
        assert plain.requests == []


def test_a_token_is_never_sent_over_http(hub: Hub, tmp_path: Path) -> None:
    env = {"HF_TOKEN": TOKEN}
    for outcome in (preflight(hub.url, REPO, env=env), fetch(hub, tmp_path / "d", env=env)):
        assert outcome.verdict == (1, "Accessible", "EndpointUnreachable")
        assert "spec.source.huggingFace.endpoint" in outcome.result["message"]
        assert TOKEN not in outcome.output
    assert hub.requests == []


@pytest.mark.parametrize("token", [f"{TOKEN}\n", f"{TOKEN}\r\nX-Other: 1", f"{TOKEN} ", "hf_ü"])
def test_a_token_that_cannot_be_one(token: str) -> None:
    outcome = preflight("https://127.0.0.1:9", REPO, env={"HF_TOKEN": token})
    assert outcome.verdict == (1, "Accessible", "TokenInvalid")
    assert TOKEN not in outcome.output


@pytest.mark.parametrize(
    ("fault", "token", "reason"),
    [
        ("", "hf_SomebodyElses", "TokenInvalid"),
        ("", "", "TokenMissing"),
        ("403:on=resolve,code=GatedRepo", TOKEN, "LicenceNotAccepted"),
        ("403:on=resolve", TOKEN, "TokenInvalid"),
        ("401:on=info,code=RepoNotFound", TOKEN, "NotFound"),
        (f"403:on=resolve,code=GatedRepo,message={TOKEN} is bad", TOKEN, "LicenceNotAccepted"),
    ],
)
def test_what_a_token_is_refused_for(
    secure: Hub, authority: Authority, fault: str, token: str, reason: str
) -> None:
    secure.faults += [parse_fault(fault)] if fault else []
    env = {"HF_TOKEN": token, "SSL_CERT_FILE": str(authority.ca.certificate)}
    outcome = preflight(secure.url, REPO, env=env)
    assert outcome.verdict == (1, "Accessible", reason), outcome.output
    assert TOKEN not in outcome.output


def test_an_untrusted_certificate_is_named(secure: Hub) -> None:
    outcome = preflight(secure.url, REPO)
    assert outcome.verdict == (1, "Accessible", "EndpointUnreachable")
    assert "certificate" in outcome.result["message"]
    assert "spec.caBundle" in outcome.result["message"]

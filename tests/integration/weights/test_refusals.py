"""Every way in which a hub fails ends in its own reason, and nothing half-made is left."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.hub import Hub, parse_fault
from tests.support.hub.command import (
    MIB,
    arguments,
    assert_complete,
    fetch,
    files_in,
    preflight,
    run,
)
from tests.support.hub.sample import REPO, SHARDS, contents, repository

REFUSALS = [
    ("401:on=resolve,code=GatedRepo", 1, "Accessible", "TokenMissing"),
    ("401:on=tree,code=RepoNotFound", 1, "Accessible", "TokenMissing"),
    ("403:on=resolve,code=GatedRepo", 1, "Accessible", "TokenMissing"),
    ("404:on=tree", 1, "Accessible", "NotFound"),
    ("404:on=resolve", 1, "Accessible", "NotFound"),
    ("429:retry_after=300", 75, "Accessible", "RateLimited"),
    ("500:on=tree", 75, "Accessible", "ServerError"),
    ("503:on=resolve", 75, "Accessible", "ServerError"),
    ("hang:on=tree", 75, "Accessible", "EndpointUnreachable"),
    ("html:on=tree", 75, "Accessible", "EndpointUnreachable"),
    ("html:on=resolve", 75, "Accessible", "EndpointUnreachable"),
    ("garble:on=tree", 75, "Accessible", "EndpointUnreachable"),
]
BODIES = [
    ("stall:on=cdn,after=1000", 75, "Downloaded", "Stalled"),
    ("cut:on=cdn,after=0", 75, "Downloaded", "Failed"),
    ("shrink:on=cdn,after=1000", 1, "Downloaded", "Failed"),
    ("corrupt:on=cdn", 1, "Verified", "ChecksumMismatch"),
    ("corrupt:on=resolve", 1, "Verified", "ChecksumMismatch"),
    ("403:on=cdn", 75, "Accessible", "ServerError"),
    ("html:on=cdn", 75, "Accessible", "EndpointUnreachable"),
]


@pytest.mark.parametrize(("fault", "code", "condition", "reason"), REFUSALS)
def test_preflight_has_one_reason_for_each_refusal(
    hub: Hub, fault: str, code: int, condition: str, reason: str
) -> None:
    hub.faults.append(parse_fault(fault))
    args = ("--retries", "2", "--stall-timeout", "0.5", "--rate-limit-wait", "1")
    outcome = preflight(hub.url, REPO, *args)
    assert outcome.verdict == (code, condition, reason), outcome.output
    assert outcome.result["message"].count(" ") > 4


@pytest.mark.parametrize(("fault", "code", "condition", "reason"), [*REFUSALS, *BODIES])
def test_fetch_fails_with_a_reason_and_publishes_nothing(
    hub: Hub, tmp_path: Path, fault: str, code: int, condition: str, reason: str
) -> None:
    hub.faults.append(parse_fault(fault))
    args = ("--retries", "2", "--stall-timeout", "0.5", "--rate-limit-wait", "1")
    outcome = run(*arguments(hub, tmp_path / "d"), *args)
    assert outcome.verdict == (code, condition, reason), outcome.output
    assert not (tmp_path / "d" / "manifest.json").exists()
    for name in set(SHARDS) & set(files_in(tmp_path)):
        raise AssertionError(f"{name} was published")
    if "on=tree" in fault:
        assert not (tmp_path / "d").exists()

    # Nothing that was left stands in the way of the next run.
    hub.faults.clear()
    assert_complete(fetch(hub, tmp_path / "d"), hub, tmp_path / "d")


def test_an_endpoint_that_is_not_there() -> None:
    for endpoint in ("http://127.0.0.1:9", "http://no-such-host.invalid"):
        outcome = preflight(endpoint, REPO, "--retries", "1")
        assert outcome.verdict == (75, "Accessible", "EndpointUnreachable"), outcome.output
        assert "spec.source.huggingFace.endpoint" in outcome.result["message"]


@pytest.mark.parametrize("endpoint", ["ftp://x", "https://user:secret@x", "x", "https://"])
def test_an_endpoint_that_is_no_address(endpoint: str) -> None:
    outcome = preflight(endpoint, REPO)
    assert outcome.verdict == (1, "Accessible", "EndpointUnreachable")
    assert "secret" not in outcome.output


@pytest.mark.parametrize(
    "fault",
    [
        "500:times=2",
        "429:times=1,retry_after=1",
        '429:times=1,ratelimit="api";r=0;t=1',
        "hang:on=tree,times=1",
        "html:times=1",
        "cut:on=file,after=70000,times=3",
        "stall:on=cdn,after=70000,times=2",
        "corrupt:on=cdn,times=1",
        "corrupt:on=resolve,times=1,match=config.json",
        "403:on=cdn,times=1",
        "norange:on=cdn",
        "slow:on=cdn,rate=600000",
    ],
)
def test_passing_trouble_is_got_over(hub: Hub, tmp_path: Path, fault: str) -> None:
    hub.faults.append(parse_fault(fault))
    assert_complete(fetch(hub, tmp_path / "d"), hub, tmp_path / "d")
    assert hub.faults[0].hits > 0


def test_a_cut_body_goes_on_at_the_byte_where_it_stopped(tmp_path: Path) -> None:
    with Hub([repository(6 * MIB)], faults=[parse_fault(f"cut:on=cdn,after={MIB},times=2")]) as hub:
        assert_complete(fetch(hub, tmp_path / "d"), hub, tmp_path / "d")
        ranges = [request.range for request in hub.seen("cdn") if request.range]
        assert ranges
        assert all(each.startswith(f"bytes={MIB}-") for each in ranges)
        assert hub.sent() < sum(map(len, contents(6 * MIB).values())) + MIB


def test_a_server_without_ranges_is_read_in_one_stream(tmp_path: Path) -> None:
    with Hub([repository(40 * MIB)], faults=[parse_fault("norange:on=cdn")]) as hub:
        assert_complete(fetch(hub, tmp_path / "d", "--connections", "4"), hub, tmp_path / "d")

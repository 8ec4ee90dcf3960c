"""Waits, speeds, proxies, errors of the system and last words."""

from __future__ import annotations

import email.utils
import errno
import json
import threading
import time
from pathlib import Path

import pytest

from llama_weights import result, volume
from llama_weights.errors import AccessError, Interrupted, VolumeError, WeightsError
from llama_weights.meter import Meter, Throttle, duration
from llama_weights.retry import Attempts, Patience, Policy, RateLimitedError, retrying
from llama_weights.sources.refusals import wait_of
from llama_weights.transport import bypassed, trusted

QUICK = Policy(attempts=3, backoff=0.001, rate_limit_wait=0.5)


def test_the_wait_that_a_hub_asks_for() -> None:
    assert wait_of({"Retry-After": "7"}) == 7
    assert wait_of({"RateLimit": '"api";r=0;t=297'}) == 297
    assert wait_of({"Retry-After": "soon"}) is None
    assert wait_of({}) is None
    assert wait_of({"Retry-After": "9" * 30}) == 24 * 3600
    date = wait_of({"Retry-After": email.utils.formatdate(time.time() + 60, usegmt=True)})
    assert date is not None
    assert 55 < date <= 60


def test_temporary_failures_are_tried_again_and_then_told() -> None:
    calls: list[int] = []

    def work() -> None:
        calls.append(1)
        raise AccessError("ServerError", "no", temporary=True)

    with pytest.raises(AccessError):
        retrying(Patience(QUICK), work)
    assert len(calls) == 3


def test_permanent_failures_are_not_tried_again() -> None:
    calls: list[int] = []

    def work() -> None:
        calls.append(1)
        raise AccessError("NotFound", "no")

    with pytest.raises(AccessError):
        retrying(Patience(QUICK), work)
    assert len(calls) == 1


def test_progress_renews_patience() -> None:
    attempts = Attempts(Patience(QUICK))
    for _ in range(10):
        attempts.failed(AccessError("ServerError", "no", temporary=True), progressed=True)


def test_waits_for_a_rate_limit_are_bounded_in_sum() -> None:
    attempts, began = Attempts(Patience(QUICK)), time.monotonic()
    with pytest.raises(RateLimitedError):
        for _ in range(10):
            attempts.failed(RateLimitedError("later", 0.2, fix=""))
    assert 0.2 < time.monotonic() - began < 0.6
    with pytest.raises(RateLimitedError):
        Attempts(Patience(QUICK)).failed(RateLimitedError("in an hour", 3600.0, fix=""))


def test_one_thread_that_is_throttled_holds_all() -> None:
    patience = Patience(QUICK)
    waiting = threading.Thread(
        target=lambda: patience.throttled(RateLimitedError("later", 0.3, fix=""), 1)
    )
    waiting.start()
    time.sleep(0.05)
    began = time.monotonic()
    patience.check()
    waiting.join()
    assert time.monotonic() - began > 0.1


def test_a_signal_ends_a_wait() -> None:
    patience = Patience(Policy(backoff=60))
    threading.Timer(0.05, patience.stop.set).start()
    with pytest.raises(Interrupted):
        patience.pause(1)


def test_no_proxy_names_hosts_suffixes_and_ranges() -> None:
    proxies = {"https": "http://proxy:3128", "no": "localhost,.svc,10.0.0.0/8,fd00::/8,bad/99"}
    assert bypassed("hub.models.svc", proxies)
    assert bypassed("10.1.2.3", proxies)
    assert bypassed("fd00::1", proxies)
    assert not bypassed("huggingface.co", proxies)
    assert not bypassed("11.0.0.1", proxies)


def test_a_bundle_that_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ca.crt").write_text("not a certificate")
    for name in ("ca.crt", "missing.crt"):
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / name))
        with pytest.raises(AccessError, match=r"SSL_CERT_FILE.*caBundle"):
            trusted()


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (errno.ENOSPC, "Full"),
        (errno.EDQUOT, "Full"),
        (errno.EROFS, "ReadOnly"),
        (errno.EACCES, "ReadOnly"),
    ],
)
def test_errors_of_the_system_become_conditions(tmp_path: Path, code: int, reason: str) -> None:
    with pytest.raises(VolumeError) as caught, volume.guarded(tmp_path / "file"):
        raise OSError(code, "as the system says")
    assert (caught.value.condition, caught.value.reason) == ("VolumeReady", reason)
    assert "spec.storage" in str(caught.value)


def test_other_errors_of_the_system_may_pass(tmp_path: Path) -> None:
    with pytest.raises(WeightsError) as caught, volume.guarded(tmp_path / "file"):
        raise OSError(errno.EIO, "as the system says")
    assert (caught.value.condition, caught.value.temporary) == ("Downloaded", True)


def test_preallocated_space_is_really_taken(tmp_path: Path) -> None:
    descriptor = volume.open_new(tmp_path / "f")
    volume.preallocate(descriptor, 1 << 20, tmp_path / "f")
    found = (tmp_path / "f").stat()
    assert found.st_size == 1 << 20
    assert found.st_blocks * 512 >= 1 << 20


def test_resumed_bytes_are_done_but_have_no_speed() -> None:
    meter = Meter(1000)
    meter.add(900, resumed=True)
    reading = meter.read()
    assert (reading.done, reading.rate, meter.fetched) == (900, 0, 0)
    meter.add(50)
    assert meter.read().rate > 0
    assert meter.read().done == 950


def test_durations() -> None:
    assert [duration(each) for each in (5, 200, 7500)] == ["5s", "3m20s", "2h05m"]


def test_a_throttle_keeps_its_rate() -> None:
    throttle, began = Throttle(1000, threading.Event()), time.monotonic()
    for _ in range(4):
        throttle.spend(100)
    assert 0.35 < time.monotonic() - began < 0.8


def test_last_words_are_short_and_without_the_secret() -> None:
    words = f"header was hf_secret {'x' * 9000}\n\x1b[31m"
    text = result.encode(result.failure(WeightsError("Failed", words)), ("hf_secret",))
    assert len(text) <= result.LIMIT
    assert "hf_secret" not in text
    assert json.loads(text)["reason"] == "Failed"
    assert json.loads(text)["message"].isprintable()

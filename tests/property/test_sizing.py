"""Advice on size, for any load: it names what it would change, stands, and leads somewhere."""

from __future__ import annotations

import re
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from llama_operator.api.conditions import DEPLOYMENT_REASONS
from llama_operator.reconcile.sizing import TYPE, Sized, Verdict, Window, judge
from llama_operator.reconcile.sizing_window import LOOKS, Look, Looks, read

share = st.floats(0, 1)
windows = st.builds(
    lambda kv, more, waiting, running, preempted, busy: Window(
        kv, kv + (1 - kv) * more, waiting, running, preempted, busy
    ),
    share, share, st.floats(0, 1e4), st.floats(0, 1e4), st.floats(0, 1e5), share,
)  # fmt: skip
haves = st.builds(
    Sized,
    replicas=st.integers(0, 100),
    max_replicas=st.sampled_from([0, 0, 5]),
    gpus=st.sampled_from([0, 1, 2, 4, 6, 8]),
    tensor_parallel=st.sampled_from([1, 2, 3, 4, 8]),
    max_num_seqs=st.integers(0, 1024),
    kv_bytes=st.integers(0, 10**11),
    weights_bytes=st.integers(0, 10**11),
    rest_bytes=st.integers(0, 10**11),
    fp8=st.booleans(),
)
reasons = st.sampled_from(["", *DEPLOYMENT_REASONS[TYPE]])


def before(reason: str) -> Verdict | None:
    return Verdict(reason, "" if reason == "WellSized" else "as it was said") if reason else None


@given(windows, haves, reasons)
def test_advice_names_a_field_and_another_value(window: Window, have: Sized, reason: str) -> None:
    found = judge(window, have, before(reason))
    if found is None or found == before(reason):
        return
    assert found.reason in DEPLOYMENT_REASONS[TYPE]
    assert (found.advice == "") == (found.reason == "WellSized")
    for low, was, now in re.findall(r"(ower|aise) spec\.[\w.]+ from (\d+) to (\d+)", found.advice):
        assert (int(now) < int(was)) == (low == "ower")
        assert int(now) >= 1
    if found.advice:
        assert re.match(r"(Lower|Raise) spec\.[\w.]+ from \d+ to \d+", found.advice)


@given(windows, haves, reasons)
def test_a_verdict_on_the_same_window_stands(window: Window, have: Sized, reason: str) -> None:
    once = judge(window, have, before(reason))
    assert judge(window, have, once) == once


@given(windows, haves)
def test_more_load_never_asks_for_less(window: Window, have: Sized) -> None:
    found = judge(window, have)
    heavier = replace(window, kv_p95=1.0, peak=1.0, waiting_p95=window.waiting_p95 + 1)
    told = judge(heavier, have)
    assert told is not None
    assert told.reason in ("KVCacheSaturated", "Preempting")
    if found is not None and found.reason == "OverProvisioned":
        assert window.peak < 0.2


looks = st.builds(Look, share, st.floats(0, 1e3), st.floats(0, 1e3), st.floats(0, 1e6))


@given(st.lists(st.dictionaries(st.sampled_from("abc"), looks, max_size=3), max_size=2 * LOOKS))
def test_a_window_holds_what_was_seen(many: list[dict[str, Look]]) -> None:
    hour = Looks()
    for each in many:
        hour.add(each)
    seen, found = [each for each in many if each][-LOOKS:], hour.window
    assert (found is None) == (len(seen) < LOOKS / 2)
    if found is not None:
        top = max(look.kv for each in seen for look in each.values())
        assert abs(found.peak - top) < 1e-6
        assert found.kv_p95 <= found.peak
        assert found.preempted >= 0
        assert 0 <= found.busy <= 1


@given(st.text())
def test_any_page_is_read_or_not(text: str) -> None:
    assert read(text) is None or 0 <= read(text).kv <= 1  # type: ignore[union-attr]

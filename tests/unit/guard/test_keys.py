"""Whose key counts: every entry of the Secret, as it is now, without a restart."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.support.guarding import FILE, Engine, ask, load, scope, write_secret

from llama_operator import guard
from llama_operator.diagnose.judge import diagnose

llama_guard = load()
REQUEST = ("POST", "/v1/chat/completions")
NOW = 1_800_000_000.0


class Clock:
    """The guard's clock."""

    def __init__(self) -> None:
        self.now = NOW
        self.strptime = time.strptime

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(llama_guard, "time", made)
    return made


@pytest.fixture
def status(tmp_path: Path, clock: Clock) -> Callable[..., Any]:
    write_secret(tmp_path, {"default": "sk-one", "team-a": "sk-two\n"}, "1")
    app = llama_guard.Guard(Engine(), llama_guard.Keys(tmp_path))

    async def ask_with(*headers: tuple[str, str]) -> tuple[int, str]:
        start, *rest = await ask(app, scope(*REQUEST, headers))
        code = str(rest[0]["body"]).split('"code": "')[-1].split('"')[0]
        return start["status"], code if start["status"] == 401 else ""

    return ask_with


def bearer(key: str) -> tuple[str, str]:
    return ("authorization", f"Bearer {key}")


def stamp(seconds: float) -> str:
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(NOW + seconds))


@pytest.mark.parametrize(
    "header",
    [bearer("sk-one"), bearer("sk-two"), ("authorization", "bearer  sk-one "),
     ("x-api-key", "sk-one")],
)  # fmt: skip
async def test_every_entry_is_a_key(status: Callable[..., Any], header: tuple[str, str]) -> None:
    assert await status(header) == (200, "")


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        (bearer("sk-on"), "unknown_key"),
        (bearer("sk-one1"), "unknown_key"),
        (bearer("SK-ONE"), "unknown_key"),
        (bearer("default"), "unknown_key"),
        (bearer("sk-one sk-two"), "unknown_key"),
        (bearer("\xff\xfe"), "unknown_key"),
        (bearer(""), "no_key"),
        (("authorization", "sk-one"), "no_key"),
        (("authorization", "Basic sk-one"), "no_key"),
        (("x-api-key", ""), "no_key"),
        (("cookie", "sk-one"), "no_key"),
    ],
)
async def test_nothing_else_is(
    status: Callable[..., Any], header: tuple[str, str], reason: str
) -> None:
    assert await status(header) == (401, reason)


async def test_the_first_of_two_headers_counts(status: Callable[..., Any]) -> None:
    assert (await status(bearer("no"), bearer("sk-one")))[0] == 401
    assert (await status(bearer("sk-one"), bearer("no")))[0] == 200


async def test_an_empty_entry_is_no_key(tmp_path: Path) -> None:
    write_secret(tmp_path, {"a": "", "b": " \n", "c": "sk-c"}, "1")
    keys = llama_guard.Keys(tmp_path)
    assert keys.find(b"") == (None, "unknown_key")
    assert keys.find(b"sk-c") == ("c", "")


async def test_rotation_needs_no_restart_and_overlaps(
    tmp_path: Path, clock: Clock, status: Callable[..., Any]
) -> None:
    old = f"default.old-until-{stamp(600)}"
    write_secret(tmp_path, {"default": "sk-new", old: "sk-one"}, "2")
    clock.now += 1.1
    assert (await status(bearer("sk-new")))[0] == 200
    assert (await status(bearer("sk-one")))[0] == 200
    assert await status(bearer("sk-two")) == (401, "unknown_key")
    clock.now = NOW + 601
    assert await status(bearer("sk-one")) == (401, "old_key")
    assert (await status(bearer("sk-new")))[0] == 200
    write_secret(tmp_path, {"default": "sk-new"}, "3")
    clock.now += 1.1
    assert await status(bearer("sk-one")) == (401, "unknown_key")


async def test_a_key_that_came_back_is_not_old(tmp_path: Path, clock: Clock) -> None:
    entries = {
        f"default.old-until-{stamp(-1)}": "sk-x",
        "z": "sk-x",
        f"a.old-until-{stamp(9)}": "sk-x",
    }
    write_secret(tmp_path, entries, "1")
    assert llama_guard.Keys(tmp_path).find(b"sk-x") == ("z", "")


async def test_a_time_that_is_none_has_passed(tmp_path: Path, clock: Clock) -> None:
    write_secret(tmp_path, {"default.old-until-20269999T000000Z": "sk-x", "default": "sk-y"}, "1")
    assert llama_guard.Keys(tmp_path).find(b"sk-x") == (None, "old_key")


async def test_the_mount_is_looked_at_once_a_second_and_read_when_it_changed(
    tmp_path: Path, clock: Clock, status: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    for name in ("stat", "iterdir"):
        monkeypatch.setattr(Path, name, _noted(getattr(Path, name), name, calls))
    for _ in range(1000):
        clock.now += 0.01
        await status(bearer("sk-no"))
    # pathlib's own exists() is a stat as well.
    assert 10 <= calls.count("stat") <= 2 * 11, "one look a second, whoever asks"
    assert "iterdir" not in calls


def _noted(real: Callable[..., Any], name: str, calls: list[str]) -> Callable[..., Any]:
    def noted(*args: Any, **how: Any) -> Any:
        calls.append(name)
        return real(*args, **how)

    return noted


async def test_a_secret_that_is_emptied_leaves_the_last_keys(
    tmp_path: Path, clock: Clock, status: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "vllm.llama_guard")
    write_secret(tmp_path, {}, "2")
    for _ in range(3):
        clock.now += 1.1
        assert (await status(bearer("sk-one")))[0] == 200
    (warning,) = [each for each in caplog.records if each.levelname == "WARNING"]
    assert "the last ones count on" in warning.getMessage()
    assert llama_guard.STALE._value.get() == 1
    write_secret(tmp_path, {"default": "sk-new"}, "3")
    clock.now += 1.1
    assert (await status(bearer("sk-one")))[0] == 401
    assert llama_guard.STALE._value.get() == 0
    assert "sk-" not in caplog.text


async def test_a_mount_that_cannot_be_read_leaves_the_last_keys(
    clock: Clock, status: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(_: Path) -> bool:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "exists", fails)
    clock.now += 1.1
    assert (await status(bearer("sk-one")))[0] == 200
    assert llama_guard.STALE._value.get() == 1


@pytest.mark.parametrize("entries", [None, {}, {"default": ""}])
def test_a_start_without_a_key_ends_with_a_line_that_is_understood(
    tmp_path: Path, entries: dict[str, str] | None
) -> None:
    mount = tmp_path / "keys"
    if entries is not None:
        write_secret(mount, entries, "1")
    done = _load(str(mount))
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    verdict = diagnose(done.stderr.splitlines(), 1)
    assert verdict.cause == "APIKeyMissing"
    assert "llamactl key rotate" in verdict.advice


def test_a_start_that_says_nothing_of_keys_is_refused() -> None:
    done = _load("")
    assert done.returncode == 1
    assert "LLAMA_GUARD_KEYS" in done.stderr


def _load(where: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": str(FILE.parent), guard.KEYS_VARIABLE: where}
    return subprocess.run(
        [sys.executable, "-c", "import llama_guard"],
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )

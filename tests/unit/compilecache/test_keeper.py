"""The keeper of the compile cache: what is used was whole, what is kept is kept once."""

from __future__ import annotations

import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from tests.support.modules import loaded

from llama_operator import compilecache, sources

FILE = compilecache.FILE


@pytest.fixture(scope="module")
def keeper() -> Any:
    return loaded(compilecache.MODULE, FILE)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    (tmp_path / "store").mkdir()
    return tmp_path / "store"


def compiled(folder: Path, text: str = "code") -> Path:
    """What an engine leaves behind, with what must not travel."""
    (folder / "vllm/torch_compile_cache/abc").mkdir(parents=True)
    (folder / "vllm/torch_compile_cache/abc/kernel.so").write_text(text)
    (folder / "vllm/torch_compile_cache/abc/kernel.so").chmod(0o755)
    (folder / "vllm/torch_compile_cache/abc/x.lock").touch()
    (folder / "vllm/startup_plan").mkdir()
    (folder / "vllm/startup_plan/plan.json").write_text("of one node")
    (folder / "vllm/gpu_p2p_access_cache_for_0.json").write_text("of one node")
    (folder / "link").symlink_to("/etc/passwd")
    return folder


def files(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): path.read_text()
        for path in folder.rglob("*")
        if path.is_file()
    }


def fresh(tmp_path: Path, name: str = "fresh") -> Path:
    (tmp_path / name).mkdir()
    return tmp_path / name


def test_what_one_start_compiled_the_next_one_finds(
    keeper: Any, store: Path, tmp_path: Path
) -> None:
    assert keeper.publish(store, compiled(fresh(tmp_path, "old")), "k")
    new = fresh(tmp_path)
    assert keeper.restore(store, new, "k")
    assert files(new) == {"vllm/torch_compile_cache/abc/kernel.so": "code"}
    assert os.access(new / "vllm/torch_compile_cache/abc/kernel.so", os.X_OK)
    assert not (new / "link").is_symlink()


def test_nothing_is_found_under_another_key(keeper: Any, store: Path, tmp_path: Path) -> None:
    keeper.publish(store, compiled(fresh(tmp_path, "old")), "k")
    new = fresh(tmp_path)
    assert not keeper.restore(store, new, "kk")
    assert not keeper.restore(store, new, "")
    assert files(new) == {}


def test_it_is_filled_once(keeper: Any, store: Path, tmp_path: Path) -> None:
    assert keeper.publish(store, compiled(fresh(tmp_path, "a"), "first"), "k")
    before = files_raw(store)
    assert not keeper.publish(store, compiled(fresh(tmp_path, "b"), "second"), "k")
    assert files_raw(store) == before
    (archive,) = store.iterdir()
    assert archive.stat().st_mode & 0o222 == 0


def files_raw(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_an_engine_that_compiled_nothing_keeps_nothing(
    keeper: Any, store: Path, tmp_path: Path
) -> None:
    empty = fresh(tmp_path)
    (empty / "vllm").mkdir()
    (empty / keeper.READY).touch()
    assert not keeper.publish(store, empty, "k")
    assert files_raw(store) == {}


@pytest.mark.parametrize("harm", ["cut", "flipped", "other"])
def test_a_file_that_is_not_what_was_written_is_not_used_and_goes(
    keeper: Any, store: Path, tmp_path: Path, harm: str
) -> None:
    keeper.publish(store, compiled(fresh(tmp_path, "old")), "k")
    (archive,) = store.iterdir()
    data = bytearray(archive.read_bytes())
    archive.chmod(0o644)
    at = data.index(b"code")
    data[at] ^= 1
    harmed = {"cut": bytes(data[: len(data) // 2]), "flipped": bytes(data), "other": b"no tar"}
    archive.write_bytes(harmed[harm])
    new = fresh(tmp_path)
    assert not keeper.restore(store, new, "k")
    assert files(new) == {}
    assert files_raw(store) == {}
    # So the next one fills it again.
    assert keeper.publish(store, compiled(fresh(tmp_path, "again")), "k")


def test_a_half_written_one_is_never_read_and_goes_in_time(
    keeper: Any, store: Path, tmp_path: Path
) -> None:
    keeper.publish(store, compiled(fresh(tmp_path, "old")), "k")
    (archive,) = store.iterdir()
    half = store / f"{keeper.PART}dead-7"
    half.write_bytes(archive.read_bytes()[:700])
    archive.unlink()
    assert not keeper.restore(store, fresh(tmp_path), "k")
    os.utime(half, (time.time() - 2 * keeper.PART_SECONDS,) * 2)
    assert keeper.publish(store, compiled(fresh(tmp_path, "again")), "k")
    assert not half.exists()


def test_a_full_volume_costs_nothing_but_the_cache(
    keeper: Any, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(keeper.tarfile.TarFile, "add", full)
    assert not keeper.publish(store, compiled(fresh(tmp_path)), "k")
    assert files_raw(store) == {}


def test_those_that_start_at_once_leave_one_whole_file(
    keeper: Any, store: Path, tmp_path: Path
) -> None:
    caches = [compiled(fresh(tmp_path, f"c{number}"), f"code{number}") for number in range(8)]
    names = [f"node{number}" for number in range(8)]

    def start(number: int) -> None:
        part = store / f"{keeper.PART}{names[number]}"
        digest = keeper._pack(caches[number], part)
        part.rename(store / f"k-{digest}.tar")
        keeper._drop_others(store, "k")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(start, range(8)))
    assert len(keeper.kept(store, "k")) == 1
    new = fresh(tmp_path)
    assert keeper.restore(store, new, "k")
    assert len(files(new)) == 1


def test_stale_ones_are_dropped_and_the_newest_stay(
    keeper: Any, store: Path, tmp_path: Path
) -> None:
    for number in range(keeper.KEPT + 2):
        cache = compiled(fresh(tmp_path, f"c{number}"), str(number))
        assert keeper.publish(store, cache, f"k{number}")
        (made,) = keeper.kept(store, f"k{number}")
        os.utime(made, (1000 + number, 1000 + number))
    kept = [bool(keeper.kept(store, f"k{number}")) for number in range(keeper.KEPT + 2)]
    assert kept == [False, False, *[True] * keeper.KEPT]


def test_the_machine_is_a_part_of_the_name(keeper: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    here = keeper.entry("k")
    assert here == keeper.entry("k")
    assert here.startswith("k-")
    monkeypatch.setattr(keeper.platform, "machine", lambda: "other")
    assert keeper.entry("k") != here


def test_the_file_stands_alone() -> None:
    carried = sources.carried(FILE)
    # Of what an image with Python has; and all annotations of an object may take 256 KiB.
    imported = {
        line.split()[1].split(".")[0]
        for line in carried.splitlines()
        if line.startswith(("import ", "from "))
    }
    assert imported <= {*sys.stdlib_module_names, "__future__"}
    assert len(carried) < 6_000
    for name in ("CACHE", "STORE", "KEY", "HEALTH"):
        assert getattr(compilecache, f"{name}_VARIABLE") in carried
    assert f'"{compilecache.READY_FILE}"' in carried

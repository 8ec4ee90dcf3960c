"""Checkpoints that are broken, incomplete or of another kind: each is refused with its reason."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.support.models import metashards
from tests.support.models.metashards import Sizes, Weights

from llama_weights.convert.convert import Order, convert
from llama_weights.errors import DownloadError, FormatError, Interrupted, UsageError, WeightsError
from llama_weights.files import MANIFEST
from llama_weights.meter import Meter

SIZES = Sizes(layers=1)


def good(directory: Path, ranks: int = 2, **changes: Any) -> Path:
    shards = metashards.split(metashards.noise(SIZES), SIZES.head_dim, ranks)
    params = SIZES.params(**changes)
    return metashards.checkpoint(directory, shards, params, metashards.tiktoken(384))


def refused(source: Path, model: str = "llama-3-8b") -> WeightsError:
    with pytest.raises(WeightsError) as caught:
        convert(Order(source, source.parent / "out", model), Meter(), threading.Event())
    assert not (source.parent / "out").exists(), "nothing may be left behind"
    assert caught.value.fix
    return caught.value


def replaced(source: Path, rank: int, change: Callable[[dict[str, Weights]], None]) -> None:
    shards = metashards.split(metashards.noise(SIZES), SIZES.head_dim, 2)
    change(shards[rank])
    metashards.save(source / f"consolidated.{rank:02d}.pth", shards[rank])


def test_a_shard_that_is_missing_in_the_middle(tmp_path: Path) -> None:
    source = good(tmp_path / "in", 4)
    (source / "consolidated.01.pth").unlink()
    assert "consolidated.01.pth: is missing" in str(refused(source))


def test_a_shard_that_is_missing_at_the_end(tmp_path: Path) -> None:
    source = good(tmp_path / "in", 4)
    (source / "consolidated.03.pth").unlink()
    error = str(refused(source))
    assert "one of 4 parts" in error
    assert "there are 3 files: consolidated.03.pth to .03.pth are missing" in error


def test_a_shard_too_many(tmp_path: Path) -> None:
    source = good(tmp_path / "in", 2)
    (source / "consolidated.02.pth").write_bytes((source / "consolidated.01.pth").read_bytes())
    assert "consolidated.02.pth to .02.pth belong to something else" in str(refused(source))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"dim": 128}, "wq.weight is [32, 64], expected [64, 128]|there are 2 files"),
        ({"n_layers": 2}, "lacks 9 tensors of the 2 layers"),
        ({"vocab_size": 641}, "has 640 rows in all, params.json says vocab_size 641"),
        ({"n_kv_heads": 4}, "wk.weight is [32, 64], expected [16, 64]"),
        ({"ffn_dim_multiplier": 2.0}, "make 384"),
        ({"n_heads": 7}, "dim 64 does not make whole, even heads of n_heads 7"),
        ({"n_kv_heads": 3}, "n_heads 8 is not a multiple of n_kv_heads 3"),
        ({"dim": "64"}, "dim is '64', expected a whole number"),
        ({"dim": True}, "dim is 'True'"),
        ({"n_layers": 10**7}, "n_layers is '10000000', expected a whole number from 1 to 4096"),
        ({"rope_theta": -1}, "rope_theta is '-1'"),
        ({"rope_theta": None}, "no rope_theta"),
        ({"use_scaled_rope": True}, "use_scaled_rope True, expected false or absent"),
        ({"moe_args": {}}, "Llama 4"),
        ({"vision_chunk_size": 448}, "vision model"),
        ({"quantization_args": {"scheme": "int4"}}, "quantised"),
    ],
)
def test_params_that_disagree(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    error = str(refused(good(tmp_path / "in", **changes)))
    assert any(each in error for each in said.split("|")), error


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "<html>", "[" * 100_000, '{"dim": NaN}'])
def test_params_that_are_none(tmp_path: Path, text: str) -> None:
    source = good(tmp_path / "in")
    (source / "params.json").write_text(text)
    assert refused(source).field == "params.json"


def test_norms_that_differ_between_ranks(tmp_path: Path) -> None:
    source = good(tmp_path / "in")
    other = Weights((SIZES.hidden,), bytes(2 * SIZES.hidden))
    replaced(source, 1, lambda shard: shard.update({"norm.weight": other}))
    error = str(refused(source))
    assert "consolidated.01.pth: norm.weight differs from that in consolidated.00.pth" in error


def test_dtypes_that_differ_between_ranks(tmp_path: Path) -> None:
    source = good(tmp_path / "in")

    def change(shard: dict[str, Weights]) -> None:
        old = shard["output.weight"]
        shard["output.weight"] = Weights(old.shape, old.data, "F16")

    replaced(source, 1, change)
    assert "output.weight is F16, BF16 in consolidated.00.pth" in str(refused(source))


@pytest.mark.parametrize("name", ["output.weight", "norm.weight", "layers.0.attention.wo.weight"])
def test_a_tensor_is_missing(tmp_path: Path, name: str) -> None:
    source = good(tmp_path / "in", 2)
    replaced(source, 1, lambda shard: shard.__delitem__(name))
    assert name in str(refused(source))


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("layers.0.feed_forward.experts.w1", "FormatUnsupported"),
        ("vision_model.patch.weight", "FormatUnsupported"),
        ("layers.1.attention.wq.weight", "CorruptCheckpoint"),
    ],
)
def test_a_tensor_too_many(tmp_path: Path, name: str, reason: str) -> None:
    source = good(tmp_path / "in")
    replaced(source, 0, lambda shard: shard.update({name: Weights((2,), b"1234")}))
    error = refused(source)
    assert error.reason == reason
    assert name in str(error)


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("meta-llama/Llama-4-Scout-17B-16E", "Llama-4-Scout-17B-16E-Instruct"),
        ("llama-guard-4-12b", "Llama 4"),
        ("llama-3.2-11b-vision", "vision model"),
        ("Llama-3.1-405B-Instruct-FP8", "meta-llama/Llama-3.1-405B-Instruct-FP8"),
        ("llama-3.2-1b-spinquant-int4", "quantised"),
    ],
)
def test_models_that_are_not_converted(tmp_path: Path, model: str, said: str) -> None:
    error = refused(good(tmp_path / "in"), model)
    assert error.reason == "FormatUnsupported"
    assert said in str(error)


def test_fp8_files_are_known_by_their_scales(tmp_path: Path) -> None:
    source = good(tmp_path / "in")
    (source / "fp8_scales_0.pt").write_bytes(b"")
    assert "meta-llama/Llama-3.1-405B-Instruct-FP8" in str(refused(source))


@pytest.mark.parametrize("model", ["", "gpt-2", "llama", "mistral-7b"])
def test_a_release_must_be_named(tmp_path: Path, model: str) -> None:
    error = refused(good(tmp_path / "in"), model)
    assert isinstance(error, UsageError)
    assert error.field == "--model"


def test_a_directory_without_a_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    assert "holds no consolidated.00.pth but nothing" in str(refused(tmp_path / "in"))
    assert isinstance(refused(tmp_path / "nowhere"), UsageError)


@pytest.mark.parametrize("kind", ["sentencepiece", "absent", "short", "garbage", "too-many"])
def test_tokenizers_that_do_not_fit(tmp_path: Path, kind: str) -> None:
    source = good(tmp_path / "in")
    path = source / "tokenizer.model"
    data = {
        "sentencepiece": metashards.sentencepiece(400),
        "short": metashards.tiktoken(384)[:2000],
        "garbage": b"!! 0\n",
        "too-many": metashards.tiktoken(385),
    }
    path.unlink()
    if kind != "absent":
        path.write_bytes(data[kind])
    assert refused(source).field == "tokenizer.model"


def test_a_directory_that_holds_something_else_is_not_touched(tmp_path: Path) -> None:
    source, out = good(tmp_path / "in"), tmp_path / "out"
    convert(Order(source, out, "llama-3-8b"), Meter(), threading.Event())
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    with pytest.raises(DownloadError, match="not changed"):
        convert(Order(source, out, "llama-3-8b-instruct"), Meter(), threading.Event())
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


def test_files_of_a_stranger_are_not_touched(tmp_path: Path) -> None:
    source, out = good(tmp_path / "in"), tmp_path / "out"
    out.mkdir()
    (out / "thesis.txt").write_text("years of work")
    with pytest.raises(WeightsError, match=r"thesis\.txt"):
        convert(Order(source, out, "llama-3-8b"), Meter(), threading.Event())
    assert [path.name for path in out.iterdir()] == ["thesis.txt"]


def test_a_shard_that_shrinks_while_it_is_read(tmp_path: Path) -> None:
    source = good(tmp_path / "in")
    meter = _Shrinking(source / "consolidated.01.pth")
    with pytest.raises(FormatError, match=r"consolidated.01.pth: ends at byte"):
        convert(Order(source, tmp_path / "out", "llama-3-8b", jobs=1), meter, threading.Event())
    assert not (tmp_path / "out" / MANIFEST).exists()


def test_a_conversion_that_was_stopped_goes_on(tmp_path: Path) -> None:
    source, stop = good(tmp_path / "in"), threading.Event()
    order = Order(source, tmp_path / "out", "llama-3-8b", jobs=1, file_limit=20_000)
    with pytest.raises(Interrupted):
        convert(order, _Stopping(stop, 100_000), stop)
    assert not (tmp_path / "out" / MANIFEST).exists()
    kept = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*.safetensors")}
    assert kept
    meter = Meter()
    convert(order, meter, threading.Event())
    assert 0 < meter.fetched < meter.total
    for name, changed in kept.items():
        assert (tmp_path / "out" / name).stat().st_mtime_ns == changed
    found: dict[str, Weights] = {}
    for path in (tmp_path / "out").glob("*.safetensors"):
        found |= metashards.read(path)
    assert found == metashards.noise(SIZES)


def test_another_checkpoint_takes_nothing_over(tmp_path: Path) -> None:
    source, stop = good(tmp_path / "in"), threading.Event()
    order = Order(source, tmp_path / "out", "llama-3-8b", jobs=1, file_limit=20_000)
    with pytest.raises(Interrupted):
        convert(order, _Stopping(stop, 100_000), stop)
    other = metashards.noise(SIZES, seed=2)
    shards = metashards.split(other, SIZES.head_dim, 2)
    metashards.checkpoint(source, shards, SIZES.params(), metashards.tiktoken(384))
    convert(order, Meter(), threading.Event())
    found: dict[str, Weights] = {}
    for path in (tmp_path / "out").glob("*.safetensors"):
        found |= metashards.read(path)
    assert found == other


def test_a_finished_conversion_is_not_done_again(tmp_path: Path) -> None:
    source = good(tmp_path / "in")
    order = Order(source, tmp_path / "out", "llama-3-8b")
    first = convert(order, Meter(), threading.Event())
    meter = Meter()
    assert convert(order, meter, threading.Event()) == first
    assert meter.fetched == 0


def test_the_manifest_names_the_same_bytes_for_the_same_source(tmp_path: Path) -> None:
    source = good(tmp_path / "in")
    one = convert(Order(source, tmp_path / "a", "llama-3-8b", jobs=1), Meter(), threading.Event())
    two = convert(Order(source, tmp_path / "b", "llama-3-8b", jobs=4), Meter(), threading.Event())
    assert one.digest == two.digest
    assert json.loads((tmp_path / "a" / MANIFEST).read_text())["repo"] == "llama-3-8b"


class _Stopping(Meter):
    """Asks to stop once so many bytes are written."""

    def __init__(self, stop: threading.Event, after: int) -> None:
        super().__init__()
        self._stop, self._left = stop, after

    def add(self, count: int, *, resumed: bool = False) -> None:
        super().add(count, resumed=resumed)
        self._left -= count
        if self._left < 0:
            self._stop.set()


class _Shrinking(Meter):
    """Cuts a file in half at the first block."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path

    def add(self, count: int, *, resumed: bool = False) -> None:
        super().add(count, resumed=resumed)
        with self._path.open("r+b") as opened:
            opened.truncate(2000)

"""Zip files and pickles from a stranger: never run, never a traceback, always a reason."""

from __future__ import annotations

import os
import pickle
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from tests.support.models import metashards
from tests.support.models.metashards import Weights

from llama_weights.convert import pickled, sentencepiece, tiktoken
from llama_weights.convert.release import identify
from llama_weights.convert.shard import Shard
from llama_weights.errors import FormatError, UsageError, WeightsError

TENSORS = {"a": Weights((2, 3), bytes(12)), "b": Weights((4,), bytes(16), "F32")}
GOOD = metashards.pickled(TENSORS)
FAST = settings(
    max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
PATH = Path("consolidated.00.pth")


def archive(path: Path, data: bytes = GOOD, compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as opened:
        opened.writestr("root/data.pkl", data)
        opened.writestr("root/data/0", bytes(12))
        opened.writestr("root/data/1", bytes(16))
    return path


class Evil:
    """What it asks for leaves a directory behind."""

    witness = ""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (self.witness,)


@pytest.mark.parametrize("protocol", range(6))
def test_a_pickle_that_would_run_something(tmp_path: Path, protocol: int) -> None:
    evil, witness = Evil(), tmp_path / "run"
    evil.witness = str(witness)
    data = pickle.dumps({"norm.weight": evil}, protocol)
    with pytest.raises(FormatError) as caught:
        pickled.read(PATH, data)
    assert caught.value.reason == "CorruptCheckpoint"
    assert "mkdir" in str(caught.value) or protocol < 2
    assert not witness.exists()
    pickle.loads(data)  # noqa: S301 - proves that it would have
    assert witness.exists()


@pytest.mark.parametrize(
    "data",
    [
        b"cantigravity\nfly\n.",
        b"\x80\x02cbuiltins\neval\nX\x04\x00\x00\x001+1\x85R.",
        b"iantigravity\nfly\n.",
        b"(cos\nsystem\nX\x01\x00\x00\x00ao.",
        b"\x80\x04\x8c\x02os\x8c\x06system\x93.",
        b"\x80\x02ccollections\nOrderedDict\n(X\x01\x00\x00\x00atR.",
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n)R.",
        b"\x80\x02}(K\x01K\x02u.",
        b"\x80\x02}" + b"(" * 50_000 + b"t" * 50_000 + b"K\x01s.",
        b"\x80\x02]q\x00h\x00a.",
        b"\x80\x02(",
        b"\x80\x02\x8d\xff\xff\xff\xff\xff\xff\xff\x7f",
        b"",
        b"(" * 10,
        b"u.",
        b"\x80\x02}t.",
    ],
)
def test_pickles_that_are_no_checkpoint(data: bytes) -> None:
    with pytest.raises(FormatError):
        pickled.read(PATH, data)
    assert "antigravity" not in sys.modules


def test_float8_is_refused_with_the_way_out() -> None:
    data = GOOD.replace(b"BFloat16Storage", b"Float8_e4m3fnStorage")
    with pytest.raises(FormatError, match=r"Llama-3\.1-405B-Instruct-FP8") as caught:
        pickled.read(PATH, data)
    assert caught.value.reason == "FormatUnsupported"


def test_a_state_dict_with_its_metadata_is_read() -> None:
    data = GOOD[:-1] + b"}X\x09\x00\x00\x00_metadata" + b"}sb."
    assert set(pickled.read(PATH, data)) == set(TENSORS)


@FAST
@given(st.binary(max_size=300))
@example(b"\x80\x02.")
def test_bytes_as_a_pickle(data: bytes) -> None:
    _read_or_refuse(data)


@FAST
@given(st.data())
def test_a_damaged_pickle(data: st.DataObject) -> None:
    _read_or_refuse(_damaged(data, GOOD))


def _read_or_refuse(data: bytes) -> None:
    try:
        assert isinstance(pickled.read(PATH, data), dict)
    except FormatError as error:
        assert str(error)


@FAST
@given(st.data())
def test_a_damaged_file(tmp_path: Path, data: st.DataObject) -> None:
    path = archive(tmp_path / "consolidated.00.pth")
    path.write_bytes(_damaged(data, path.read_bytes()))
    _open_or_refuse(path)


@FAST
@given(st.binary(max_size=200))
def test_bytes_as_a_file(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "consolidated.00.pth")
        path.write_bytes(b"PK\3\4" + data)
        _open_or_refuse(path)


def _open_or_refuse(path: Path) -> None:
    try:
        shard = Shard(path)
    except WeightsError as error:
        assert error.reason in ("CorruptCheckpoint", "FormatUnsupported")
        assert error.field == path.name
        return
    size = path.stat().st_size
    assert all(
        0 <= each.offset <= each.offset + each.size <= size for each in shard.tensors.values()
    )
    shard.close()


def _damaged(data: st.DataObject, good: bytes) -> bytes:
    changed = bytearray(good)
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(changed) - 1))
        changed[place : place + data.draw(st.integers(0, 4))] = data.draw(st.binary(max_size=4))
    return bytes(changed[: data.draw(st.integers(1, len(changed)))]) if changed else b""


@pytest.mark.parametrize("cut", [0, 3, 30, 100, 200, 500])
def test_a_file_that_is_cut_off(tmp_path: Path, cut: int) -> None:
    path = archive(tmp_path / "consolidated.00.pth")
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(FormatError, match=r"consolidated.00.pth"):
        Shard(path)


def test_a_web_page_in_place_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "consolidated.00.pth"
    path.write_text("<html>denied</html>")
    with pytest.raises(FormatError, match="a web page"):
        Shard(path)


def test_compressed_entries_are_refused(tmp_path: Path) -> None:
    path = archive(tmp_path / "consolidated.00.pth", compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(FormatError, match="compressed"):
        Shard(path)


def test_a_tensor_larger_than_its_storage(tmp_path: Path) -> None:
    data = GOOD.replace(b"J" + (3).to_bytes(4, "little"), b"J" + (4).to_bytes(4, "little"), 1)
    path = archive(tmp_path / "consolidated.00.pth", data)
    with pytest.raises(FormatError, match="does not fit its storage"):
        Shard(path)


def test_strides_are_refused(tmp_path: Path) -> None:
    three = b"J" + (3).to_bytes(4, "little")
    one = b"J" + (1).to_bytes(4, "little")
    data = GOOD.replace(three + one, one + (b"J" + (2).to_bytes(4, "little")))
    assert data != GOOD
    with pytest.raises(FormatError, match="strides") as caught:
        Shard(archive(tmp_path / "consolidated.00.pth", data))
    assert caught.value.reason == "FormatUnsupported"


@FAST
@given(st.data())
def test_damaged_tokenizers(data: st.DataObject) -> None:
    _, release = identify("llama-3.1-8b", Path())
    path = Path("tokenizer.model")
    try:
        tiktoken.convert(path, _damaged(data, TOKENS), release)
    except FormatError as error:
        assert error.field == "tokenizer.model"
    try:
        sentencepiece.convert(path, _damaged(data, SENTENCES))
    except FormatError as error:
        assert error.field == "tokenizer.model"


SENTENCES, TOKENS = metashards.sentencepiece(300), metashards.tiktoken(260)


@given(st.text(max_size=40))
def test_any_text_as_a_model(text: str) -> None:
    try:
        identify(text or "?", Path("/nowhere"))
    except (UsageError, FormatError) as error:
        assert error.fix

"""Bytes from a hub or a shared volume: read, or refused with a reason; never a traceback."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from tests.support.hub.sample import CONFIG

from llama_weights import manifest
from llama_weights.adopt import inspect
from llama_weights.convert import params
from llama_weights.errors import FormatError, VerifyError, WeightsError
from llama_weights.files import STATE_DIRECTORY, unsafe
from llama_weights.manifest import Entry, Manifest
from llama_weights.preflight import Finding
from llama_weights.retry import Patience, Policy
from llama_weights.sources.client import Client, account
from llama_weights.sources.huggingface import Checkpoint
from llama_weights.state import State
from llama_weights.transport import Transport

FAST = settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
HEXES = st.text("0123456789abcdef", min_size=64, max_size=64)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9) | HEXES,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4)
    ),
    max_leaves=12,
)


def objects(*keys: str) -> st.SearchStrategy[dict[str, Any]]:
    """Dictionaries that have some of the right keys, and anything under them."""
    return st.dictionaries(st.sampled_from(keys), VALUES, max_size=len(keys))


SOUND = Manifest("org/x", "c" * 40, (Entry("config.json", 2, "0" * 64),))


@FAST
@given(st.binary(max_size=120) | objects("repo", "commit", "format", "files").map(json.dumps))
@example(SOUND.encode())
@example(SOUND.encode().replace(b"config.json", b"../../x.json"))
@example(b'{"files": ' + b"[" * 50_000)
def test_a_manifest_is_whole_or_refused(tmp_path: Path, data: bytes | str) -> None:
    (tmp_path / "manifest.json").write_bytes(data if isinstance(data, bytes) else data.encode())
    try:
        found = manifest.load(tmp_path)
    except VerifyError as error:
        assert error.fix
    else:
        assert found is not None
        assert not any(unsafe(entry.path) for entry in found.files)


@FAST
@given(
    objects("repo", "commit", "files").map(json.dumps) | st.text(max_size=60),
    st.lists(
        objects("path", "digest", "sha256").map(json.dumps) | st.text(max_size=30), max_size=3
    ),
)
@example('{"files": ["../../etc/passwd", "/etc/passwd", "ok.json", 7]}', ["{", "[]"])
def test_no_bookkeeping_leads_out_of_its_directory(
    tmp_path: Path, plan: str, ledger: list[str]
) -> None:
    (tmp_path / STATE_DIRECTORY).mkdir(exist_ok=True)
    (tmp_path / STATE_DIRECTORY / "plan.json").write_bytes(plan.encode(errors="replace"))
    lines = "\n".join(ledger).encode(errors="replace")
    (tmp_path / STATE_DIRECTORY / "ledger.jsonl").write_bytes(lines)
    state = State(tmp_path)
    assert not any(unsafe(name) for name in state.names())
    assert all(len(key) == 2 for key in state.ledger())


class Answers(Client):
    """A client that has got this answer."""

    answer: Any = None

    def json(self, *_: str) -> tuple[Any, str]:
        return self.answer, ""


@pytest.fixture(scope="module")
def answers() -> Answers:
    patience = Patience(Policy())
    return Answers(account("http://127.0.0.1:9", ""), Transport(patience.policy), patience)


ENTRIES = objects("type", "path", "size", "oid", "lfs") | st.fixed_dictionaries(
    {
        "type": st.just("file"),
        "path": st.text(max_size=12),
        "size": VALUES,
        "oid": VALUES,
        "lfs": st.none() | objects("oid", "size", "pointerSize"),
    }
)


@FAST
@given(VALUES | st.lists(ENTRIES, max_size=4))
def test_a_listing_names_safe_files_or_is_refused(answers: Answers, listing: Any) -> None:
    answers.answer = listing
    try:
        files = Checkpoint(answers, "org/x", "c" * 40).files()
    except WeightsError as error:
        assert error.reason in ("CorruptCheckpoint", "EndpointUnreachable")
        return
    assert not any(unsafe(file.path) for file in files)
    assert all(file.size >= 0 and len(file.digest) in (40, 64) for file in files)


NUMBERS = ("dim", "n_layers", "n_heads", "n_kv_heads", "vocab_size", "multiple_of")


@FAST
@given(objects(*NUMBERS, "norm_eps", "rope_theta", "ffn_dim_multiplier"))
@example({"dim": 4096, "n_layers": 1, "n_heads": 32, "ffn_dim_multiplier": 1e308, "multiple_of": 1})
def test_params_are_numbers_of_a_model_or_refused(found: dict[str, Any]) -> None:
    try:
        made = params.parse(found)
    except FormatError as error:
        assert error.reason == "CorruptCheckpoint"
        assert error.field == "params.json"
        return
    assert made.hidden == made.heads * made.head_dim
    assert made.feed_forward >= 0


def safetensors(header: bytes, body: int, length: int | None = None) -> bytes:
    """A file whose header is these bytes, or is said to have another length."""
    return struct.pack("<Q", len(header) if length is None else length) + header + bytes(body)


HEADER = json.dumps({"w": {"dtype": "U8", "shape": [8], "data_offsets": [0, 8]}}).encode()


def looked_at(directory: Path, shard: bytes, index: str) -> Finding | None:
    (directory / "config.json").write_text(json.dumps(CONFIG))
    (directory / "model.safetensors").write_bytes(shard)
    (directory / "model.safetensors.index.json").write_text(index)
    try:
        return inspect(directory, None)
    except WeightsError as error:
        assert error.reason in ("CorruptCheckpoint", "FilesMissing"), error
        return None


GOOD_INDEX = '{"weight_map": {"w": "model.safetensors"}}'


@FAST
@given(
    st.binary(max_size=60)
    | st.builds(
        safetensors, st.binary(max_size=40), st.integers(0, 20), st.integers(0, 1 << 64 - 1)
    )
    | st.builds(
        safetensors,
        st.dictionaries(st.text(max_size=4), objects("dtype", "shape", "data_offsets"), max_size=3)
        .map(json.dumps)
        .map(str.encode),
        st.integers(0, 20),
    )
)
@example(safetensors(b"[" * 5000, 0))
@example(safetensors(b'{"w": {"data_offsets": [0, "8"]}}', 8))
def test_a_shard_covers_its_header_or_is_refused(tmp_path: Path, shard: bytes) -> None:
    found = looked_at(tmp_path, shard, '{"weight_map": {}}')
    assert found is None or found.bytes > 0


@FAST
@given(VALUES.map(json.dumps) | st.builds(json.dumps, objects("weight_map", "metadata")))
@example('{"weight_map": [[null, null]]}')
def test_any_index(tmp_path: Path, index: str) -> None:
    looked_at(tmp_path, safetensors(HEADER, 8), index)


def test_a_good_one_is_not_refused(tmp_path: Path) -> None:
    assert looked_at(tmp_path, safetensors(HEADER, 8), GOOD_INDEX)
    assert not looked_at(tmp_path, safetensors(HEADER, 7), GOOD_INDEX)
    assert not looked_at(tmp_path, safetensors(HEADER, 8), GOOD_INDEX.replace('"w"', '"v"'))

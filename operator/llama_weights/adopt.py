"""Files that somebody else has put on a volume: what they are and whether they are whole.

They are only read. Nobody publishes their hashes, so they are held against themselves: every
tensor of the index is where it says, every header covers its file, and the digest of all bytes is
kept, so that a later look tells whether they have changed. vLLM notices neither a changed byte nor
a missing layer; it serves.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from llama_operator.catalog.model import Model
from llama_weights import manifest, volume
from llama_weights.convert import source as originals
from llama_weights.errors import FormatError, VerifyError
from llama_weights.files import RemoteFile
from llama_weights.hashing import sha256_of
from llama_weights.manifest import Entry, Manifest
from llama_weights.meta_fetch import check_params
from llama_weights.meter import Meter
from llama_weights.preflight import Finding
from llama_weights.select import CONFIG, INDEX, select
from llama_weights.shape import parse_config, shape_of
from llama_weights.sources.meta import FORMAT
from llama_weights.verify import verify

FIELD = "spec.source.claim"
_HASHERS = 2
_LONGEST_HEADER = 100_000_000
_SMALL = 64 << 20


def inspect(directory: Path, model: Model | None) -> Finding:
    """What lies in a directory, by a quick look. Raises WeightsError.

    `model` is the catalogue's where it knows the one that was asked for.
    """
    if not directory.is_dir():
        raise VerifyError(
            "FilesMissing",
            f"the claim has no directory {directory.name!r}",
            field=f"{FIELD}.path",
            fix="Name the directory that holds config.json or params.json",
        )
    with volume.guarded(directory):
        names = sorted(each.name for each in directory.iterdir() if each.is_file())
        if any(originals.is_shard(name) for name in names):
            return _meta(directory, model)
        files = _chosen(directory, names)
        config = parse_config((directory / CONFIG).read_bytes()[:_SMALL])
        _check_tensors(directory, files)
        return Finding(
            _identity(directory, files),
            sum(file.size for file in files),
            len(files),
            shape_of(config),
        )


def adopt(directory: Path, expected: str, meter: Meter, stop: threading.Event) -> Manifest:
    """The manifest of a directory, every byte read.

    One of our own making is held against its manifest; of others the digest must be `expected`,
    where one is known. Raises WeightsError.
    """
    with volume.guarded(directory):
        own = manifest.load(directory)
        made = verify(directory, meter, stop) if own else _read(directory, meter, stop)
    if expected and made.digest != expected:
        raise VerifyError(
            "ChecksumMismatch",
            f"the files have changed: their digest is {made.digest[:23]}..., it was "
            f"{expected[:23]}...",
            field=FIELD,
            fix="Put the files back, or make a new LlamaWeights for the new ones",
        )
    return made


def _read(directory: Path, meter: Meter, stop: threading.Event) -> Manifest:
    names = sorted(each.name for each in directory.iterdir() if each.is_file())
    files = _chosen(directory, names)
    meter.phase, meter.total = "Verifying", sum(file.size for file in files)

    def read(file: RemoteFile) -> Entry:
        sha256 = sha256_of(directory / file.path, stop)
        meter.add(file.size)
        return Entry(file.path, file.size, sha256)

    with ThreadPoolExecutor(_HASHERS) as pool:
        entries = tuple(sorted(pool.map(read, files)))
    return Manifest("claim", _identity(directory, files), entries)


def _chosen(directory: Path, names: list[str]) -> list[RemoteFile]:
    listed = [RemoteFile(each, (directory / each).stat().st_size, "sha256", "") for each in names]
    chosen = select(listed)
    for file in chosen:
        _check_place(directory, file.path)
    return chosen


def _check_place(directory: Path, name: str) -> None:
    """Servers see the directory and nothing beside it, so a link that leaves it dangles there."""
    target = (directory / name).resolve()
    if not target.is_relative_to(directory.resolve()):
        raise VerifyError(
            "FilesMissing",
            f"{name[:120]} is a link that leaves the directory, as in a cache of huggingface_hub; "
            "servers mount the directory alone",
            field=f"{FIELD}.path",
            fix="Copy what the links lead to (`cp -rL FROM TO`) and name the copy",
        )


def _identity(directory: Path, files: list[RemoteFile]) -> str:
    """40 hex digits of names, sizes and config.json: a name for it, not a proof of its bytes."""
    listed = json.dumps([(file.path, file.size) for file in files])
    config = (directory / CONFIG).read_bytes()
    return hashlib.sha256(listed.encode() + config).hexdigest()[:40]


def _meta(directory: Path, model: Model | None) -> Finding:
    if model is None:
        raise FormatError(
            "FormatUnsupported",
            "Meta's .pth files are converted for models of the catalogue only",
            field="spec.model",
            fix="Set it to a catalogue id: `llamactl models` lists them",
        )
    from llama_weights.convert import params  # noqa: PLC0415 - only for files to be converted

    paths = originals.find(directory)
    check_params(params.load(directory), model)
    total = sum(path.stat().st_size for path in paths)
    listed = json.dumps([(path.name, path.stat().st_size) for path in paths]).encode()
    commit = hashlib.sha256(listed + (directory / params.NAME).read_bytes()).hexdigest()[:40]
    return Finding(commit, total, len(paths), model.shape.to_status(), FORMAT)


def _check_tensors(directory: Path, files: list[RemoteFile]) -> None:
    found = {
        file.path: _header(directory / file.path, file.size)
        for file in files
        if file.path.endswith(".safetensors")
    }
    index = directory / INDEX
    if not index.is_file():
        return
    for name, place in _weight_map(index).items():
        if name not in found.get(str(place), ()):
            raise VerifyError(
                "FilesMissing",
                f"{INDEX} says that {name[:120]!r} is in {str(place)[:120]!r}, and it is not",
                field=FIELD,
                fix="Copy the checkpoint again, whole",
            )


def _weight_map(index: Path) -> Mapping[str, Any]:
    try:
        found = json.loads(index.read_bytes())["weight_map"].items()
        return dict(found)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise VerifyError("FilesMissing", f"{INDEX} has no weight_map", field=FIELD) from None


def _header(path: Path, size: int) -> set[str]:
    """Names of the tensors of a safetensors file whose header covers it."""
    with path.open("rb") as opened:
        length = int.from_bytes(opened.read(8), "little")
        if not 2 <= length <= min(_LONGEST_HEADER, size - 8):
            raise _corrupt(path, f"announces a header of {length} bytes in a file of {size}")
        data = opened.read(length)
    try:
        entries = {name: each for name, each in json.loads(data).items() if name != "__metadata__"}
        end = max((each["data_offsets"][1] for each in entries.values()), default=0)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError):
        raise _corrupt(path, "has a header that is not one of safetensors") from None
    if end != size - 8 - length:
        raise _corrupt(path, f"has {size - 8 - length} bytes of tensors, its header tells of {end}")
    return set(entries)


def _corrupt(path: Path, what: str) -> FormatError:
    return FormatError(
        "CorruptCheckpoint", f"{path.name} {what}", field=FIELD, fix="Copy the file again, whole"
    )

"""MODEL of `llamactl plan`: a catalogue name, a repository, a directory, or a config.json."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llama_operator.api.errors import PlanRefused
from llamactl.errors import BadValueError

if TYPE_CHECKING:
    from llama_operator.catalog.shape import Shape

_LARGEST_CONFIG = 4 << 20


@dataclass(frozen=True)
class Source:
    """What is planned: `model` is what a spec would hold, `said` what the text was taken for.

    `weights_bytes` are those of the tensors, 0 where nobody knows them; `file_bytes` those of a
    download, 0 where only the tensors are known. `commit` is set for what a hub told, `local`
    for a file, whose folder is no model that a spec could name.
    """

    model: str
    shape: Shape
    weights_bytes: int
    said: str = ""
    commit: str = ""
    file_bytes: int = 0
    local: bool = False


def find(text: str, revision: str | None = None) -> Source:
    """Raises BadValueError for what names no model, PlanRefused for what cannot be served.

    Only a repository outside the catalogue, or one with a `revision`, is asked for at the hub.
    """
    if not text.strip():
        raise BadValueError("no model is named", field="MODEL", next="llamactl models")
    path = Path(text).expanduser()
    if path.suffix == ".json" or text.startswith((".", "/", "~")) or path.is_dir():
        if revision:
            raise BadValueError(f"{text} is a file, which has none", field="--revision")
        return _of_path(path)
    from llamactl.modelname import resolve

    found = resolve(text)
    entry = found.entry
    if entry is None or revision:
        repo = found.model if entry is None else entry.hf_repo or ""
        if not repo:
            raise BadValueError(f"{text} has no repository", field="--revision")
        return _of_hub(repo, revision or "main", found.model)
    return Source(found.model, entry.shape, entry.weights_bytes, found.said(text))


def _of_hub(repo: str, revision: str, model: str) -> Source:
    from llama_operator.catalog.reading import shape_from_config
    from llamactl import hub, tensors

    found = hub.look(repo, revision)
    shape = shape_from_config(_parsed(found.config, f"{repo}: config.json"))
    tensors.check(shape, found.tensors)
    size = sum(each.bytes for each in found.tensors.values())
    said = f"{repo}@{revision} is commit {found.commit}"
    return Source(model, shape, size, said, found.commit, found.file_bytes)


def _of_path(path: Path) -> Source:
    from llama_operator.catalog.reading import shape_from_config

    config = path / "config.json" if path.is_dir() else path
    shape = shape_from_config(_parsed(_read(config), str(config)))
    if not path.is_dir():
        return Source(config.parent.resolve().name, shape, 0, local=True)
    from llamactl import tensors

    files = _weight_files(path)
    found = {key: each for file in files for key, each in _header(file).items()}
    tensors.check(shape, found)
    size = sum(each.bytes for each in found.values())
    return Source(path.resolve().name, shape, size, file_bytes=_sizes(files), local=True)


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            text = file.read(_LARGEST_CONFIG + 1)
    except OSError as error:
        raise BadValueError(f"{path}: {error.strerror}", field="MODEL") from error
    if len(text) > _LARGEST_CONFIG:
        raise BadValueError(f"{path} is larger than 4 MiB; no config.json is", field="MODEL")
    return text


def _parsed(text: bytes, where: str) -> Mapping[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadValueError(f"{where} is not JSON: {error}", field="MODEL") from error
    if not isinstance(value, dict):
        raise PlanRefused("ModelNotServable", f"{where} holds no object", field="MODEL")
    return value


def _weight_files(directory: Path) -> list[Path]:
    from llamactl import tensors

    present = {file.name: file for file in sorted(directory.glob("*.safetensors"))}
    index = directory / "model.safetensors.index.json"
    if not index.is_file():
        return list(present.values())
    return [present[name] for name in tensors.shards(index.read_bytes(), present)]


def _header(file: Path) -> Mapping[str, Any]:
    from llamactl import tensors

    size = file.stat().st_size
    with file.open("rb") as opened:
        start = opened.read(tensors.LENGTH_BYTES)
        length = tensors.header_bytes(start, size, file.name)
        header = opened.read(length - len(start))
    return tensors.read(header, size - length, file.name)


def _sizes(files: list[Path]) -> int:
    return sum(file.stat().st_size for file in files)

"""From Meta's signed URL to a directory that vLLM loads: fetch, verify, convert, clear away.

The .pth files lie beside the copy, in DEST.original, until they are converted: nothing but what is
served ever lies in the directory that servers mount. Each step is finished for good before the
next, so a Job that is killed anywhere goes on, and asks the server for nothing that it has.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llama_operator.api import signed_url
from llama_operator.api.errors import LlamaError
from llama_operator.api.signed_url import UrlRefused
from llama_operator.catalog import meta_files
from llama_operator.catalog.catalog import load
from llama_operator.catalog.entry import loads
from llama_operator.catalog.model import Model
from llama_weights import manifest, volume
from llama_weights.convert import params, release
from llama_weights.convert.convert import JOBS, Order, convert
from llama_weights.convert.refusal import corrupt
from llama_weights.errors import AccessError, UsageError, VerifyError
from llama_weights.fetch import Wish, fetch
from llama_weights.files import MANIFEST, STATE_DIRECTORY
from llama_weights.lock import Lock
from llama_weights.manifest import Manifest
from llama_weights.meter import Meter
from llama_weights.retry import Patience
from llama_weights.sources.meta import FORMAT, MetaCheckpoint
from llama_weights.sources.meta_server import URL_FIELD, MetaServer, refused_access
from llama_weights.state import LOCK
from llama_weights.transport import Transport

URL_VARIABLE = "META_URL"


@dataclass(frozen=True)
class MetaWish:
    """What to fetch and how. `folder` is "" for the catalogue's."""

    model: Model
    destination: Path
    folder: str = ""
    connections: int = 16
    max_bytes_per_second: int = 0
    keep_originals: bool = False
    jobs: int = JOBS

    @property
    def originals(self) -> Path:
        """Where the .pth files lie until they are converted."""
        return self.destination.with_name(f"{self.destination.name}.original")


def source(wish: MetaWish, patience: Patience) -> tuple[MetaCheckpoint, float]:
    """The checkpoint on the server, and when the URL expires. Asks for nothing yet.

    Raises WeightsError for a URL that is missing, garbage, expired or of another family.
    """
    try:
        listing = meta_files.listing(wish.model, wish.folder)
        url = signed_url.read(_text())
        meta_files.check_family(url, wish.model)
    except UrlRefused as refused:
        raise refused_access(refused) from None
    server = MetaServer(url, Transport(patience.policy, wish.connections), patience)
    return MetaCheckpoint(server, listing, wish.originals / STATE_DIRECTORY), url.expires


def preflight(wish: MetaWish, patience: Patience) -> dict[str, Any]:
    """What a fetch would bring, for the Job's result. Raises WeightsError."""
    found, _ = source(wish, patience)
    check_params(found.params(), wish.model)
    files = found.wanted()
    return {
        "commit": found.commit,
        "bytes": sum(file.size for file in files),
        "files": len(files),
        "format": FORMAT,
        "shape": wish.model.shape.to_status(),
    }


def fetch_meta(wish: MetaWish, meter: Meter, patience: Patience) -> Manifest:
    """The manifest of the converted copy. Raises WeightsError; what has been done is kept."""
    order = Order(wish.originals, wish.destination, wish.model.id, wish.jobs)
    if not _is_published(wish.destination):
        if not _is_published(wish.originals):
            _fetch(wish, meter, patience)
        meter.expires = 0.0
        meter.restart()
        made = convert(order, meter, patience.stop)
    else:
        made = _published(wish.destination)
        meter.total = made.total
        meter.add(made.total, resumed=True)
    if not wish.keep_originals:
        remove_originals(wish.originals, patience)
    return made


def _fetch(wish: MetaWish, meter: Meter, patience: Patience) -> None:
    found, meter.expires = source(wish, patience)
    if not found.commit:  # else an earlier run has looked
        check_params(found.params(), wish.model)
    total = sum(file.size for file in found.wanted())
    # Known before the first of many gigabytes: the converted files are as large again.
    held = volume.used(wish.originals) + volume.used(wish.destination)
    volume.check_space(wish.destination, 2 * total - held)
    parts = Wish(wish.originals, wish.connections, wish.max_bytes_per_second)
    fetch(parts, found, meter, patience)


def remove_originals(directory: Path, patience: Patience) -> None:
    """Take the .pth files away, unless another process is at them."""
    if not directory.is_dir():
        return
    # Under the fetch's own lock; the manifest first, so that half a directory is no copy.
    with volume.guarded(directory), Lock(directory / STATE_DIRECTORY / LOCK, stop=patience.stop):
        (directory / MANIFEST).unlink(missing_ok=True)
        for path in directory.glob("consolidated.*.pth"):
            path.unlink()
    with volume.guarded(directory):
        shutil.rmtree(directory)


def check_params(found: Mapping[str, Any], model: Model) -> None:
    """Raises FormatError when params.json is not of the model that was asked for."""
    kind = release.identify(model.id, Path(model.id))[1]
    release.check(model.id, kind, found)
    numbers, shape = params.parse(found), model.shape
    pairs = (
        ("dim", numbers.hidden, shape.hidden_size),
        ("n_layers", numbers.layers, shape.num_layers),
        ("n_heads", numbers.heads, shape.num_attention_heads),
    )
    for name, there, expected in pairs:
        if there != expected:
            raise corrupt(
                params.NAME,
                f"{name} is {there}, and {model.id} has {expected}",
                "Check spec.model and spec.source.meta.folder: they are not of one model",
            )


def find_model(name: str, entry: str) -> Model:
    """The model of a catalogue entry in JSON, else the one that the catalogue knows by its name.

    The operator hands the entry over, so that its Jobs know what its own catalogue was told.
    """
    if entry:
        try:
            return loads(entry)
        except LlamaError as error:
            raise UsageError(error.message, field=error.field) from error
    found = load().find(name)
    if found is None:
        raise UsageError(
            f"{name[:80]!r} is not in the catalogue, so nobody knows its files on Meta's server",
            field="--model",
            fix="`llamactl models` lists the names",
        )
    return found


def _text() -> str:
    text = os.environ.get(URL_VARIABLE, "")
    if not text.strip():
        raise AccessError(
            "SecretMissing",
            f"{URL_VARIABLE} is empty: no URL was given",
            field=URL_FIELD,
            fix="Put the URL of Meta's e-mail into the Secret, under the key that the field names",
        )
    return text


def _is_published(directory: Path) -> bool:
    try:
        with volume.guarded(directory):
            found = manifest.load(directory)
    except VerifyError:
        return False
    return found is not None and not manifest.missing(directory, found)


def _published(directory: Path) -> Manifest:
    found = manifest.load(directory)
    if found is None:
        raise UsageError(f"{directory} has no manifest", field="--dest")
    return found

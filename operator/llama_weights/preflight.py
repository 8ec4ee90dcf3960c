"""What can be known of a checkpoint before a volume or a GPU is reserved for it.

One small authorised read of config.json is the proof of access: a gated repository shows its
listing to everybody and refuses only its files.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from llama_weights.errors import VerifyError
from llama_weights.hashing import digests_of
from llama_weights.select import CONFIG, select
from llama_weights.shape import parse_config, shape_of
from llama_weights.sources.client import Client
from llama_weights.sources.huggingface import Checkpoint, commit_of

_CONFIG_LIMIT = 4 << 20


@dataclass(frozen=True)
class Finding:
    """The commit, what a fetch of it would bring, and the shape of the model."""

    commit: str
    bytes: int
    files: int
    shape: dict[str, Any]
    format: str = "safetensors"


def preflight(client: Client, repo: str, revision: str) -> Finding:
    """Look at a repository. Raises WeightsError with one reason for each way to fail."""
    commit = commit_of(client, repo, revision)
    source = Checkpoint(client, repo, commit)
    files = select(source.files())
    config = next(file for file in files if file.path == CONFIG)
    data = source.read(config, _CONFIG_LIMIT)
    if digests_of(config, data).published != config.digest:
        raise mismatch(CONFIG)
    shape = shape_of(parse_config(data))
    return Finding(commit, sum(file.size for file in files), len(files), shape)


def mismatch(name: str) -> VerifyError:
    """A small file that came other than the hub lists it."""
    return VerifyError(
        "ChecksumMismatch",
        f"{name} is not the file that the hub lists",
        fix="Something between here and the hub changes bytes; try without proxy or mirror",
    )

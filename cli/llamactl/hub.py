"""A repository outside the catalogue: read from its hub in a few small requests, nothing kept.

Fetched are the commit, the file list, config.json, the index, and of each shard the header by
range; of a 70B those are some hundred kilobytes of 141 GB. Addresses, tokens, proxies and refusals
are those of llama-weights: a token goes only to the endpoint itself, and only over https.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple

from llama_operator.api.errors import PlanRefused
from llamactl import tensors
from llamactl.errors import BadValueError
from llamactl.tensors import Tensor

if TYPE_CHECKING:
    from llama_weights.errors import WeightsError
    from llama_weights.files import RemoteFile
    from llama_weights.retry import Patience
    from llama_weights.sources.huggingface import Checkpoint

_CONNECTIONS = 8
# Headers are 10 to 30 KB for a shard of 5 GB, so the first request usually holds them.
_FIRST_BYTES = 32 << 10
_LARGEST_CONFIG, _LARGEST_INDEX = 4 << 20, 64 << 20


class Found(NamedTuple):
    """What a repository holds at a commit: config.json, the tensors, and bytes to download."""

    commit: str
    config: bytes
    tensors: dict[str, Tensor]
    file_bytes: int


def look(repo: str, revision: str) -> Found:
    """Raises BadValueError for a name that is none, PlanRefused for all that a hub answers."""
    from llama_weights.errors import UsageError, WeightsError

    try:
        return _look(repo, revision)
    except UsageError as error:
        field, message, fix = _words(error)
        raise BadValueError(message, field=field, fix=fix) from error
    except WeightsError as error:
        field, message, fix = _words(error)
        raise PlanRefused(error.reason, message, field=field, fix=fix) from error


def _look(repo: str, revision: str) -> Found:
    from llama_weights.retry import Patience, Policy
    from llama_weights.select import CONFIG, INDEX, select
    from llama_weights.sources.address import DEFAULT_ENDPOINT, check_repo, check_revision
    from llama_weights.sources.client import Client, account
    from llama_weights.sources.huggingface import Checkpoint, commit_of
    from llama_weights.transport import Transport

    check_repo(repo)
    check_revision(revision)
    # Somebody waits at a terminal: two tries, and seconds instead of the minutes that a Job has.
    patience = Patience(Policy(2, 10.0, 20.0, rate_limit_wait=10.0))
    endpoint = os.environ.get("HF_ENDPOINT", "") or DEFAULT_ENDPOINT
    owner = account(endpoint, os.environ.get("HF_TOKEN", ""))
    client = Client(owner, Transport(patience.policy, _CONNECTIONS), patience)
    commit = commit_of(client, repo, revision)
    source = Checkpoint(client, repo, commit)
    files = {file.path: file for file in select(source.files())}
    config = _config(source, files[CONFIG])
    weights = [name for name in files if name.endswith(".safetensors")]
    if INDEX in files:
        weights = tensors.shards(source.read(files[INDEX], _LARGEST_INDEX), files)
    found = _Shards(source, patience).headers([files[name] for name in weights])
    return Found(commit, config, found, sum(file.size for file in files.values()))


class _Shards(NamedTuple):
    """Reads the headers of a checkpoint's files, several at once."""

    source: Checkpoint
    patience: Patience

    def headers(self, files: Sequence[RemoteFile]) -> dict[str, Tensor]:
        merged: dict[str, Tensor] = {}
        pool = ThreadPoolExecutor(_CONNECTIONS)
        try:
            for found in pool.map(self._header, files):
                merged |= found
        finally:
            # Ctrl-C must not wait for a hub that hangs.
            self.patience.stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
        return merged

    def _header(self, file: RemoteFile) -> dict[str, Tensor]:
        data = self._range(file, 0, min(file.size, _FIRST_BYTES))
        size = tensors.header_bytes(data, file.size, file.path)
        if size > len(data):
            data += self._range(file, len(data), size)
        return tensors.read(data[tensors.LENGTH_BYTES : size], file.size - size, file.path)

    def _range(self, file: RemoteFile, start: int, end: int) -> bytes:
        from llama_weights.retry import retrying

        return retrying(self.patience, lambda: self._range_once(file, start, end))

    def _range_once(self, file: RemoteFile, start: int, end: int) -> bytes:
        from llama_weights.sources.body import RangeIgnoredError, cut

        try:
            body = self.source.open(file, start, end)
        except RangeIgnoredError:
            raise _ignored(file.path) from None
        try:
            data = b"".join(iter(lambda: body.read(end - start), b""))
        finally:
            body.close()
        if len(data) != end - start:
            raise cut(file.path)
        return data


def _ignored(name: str) -> WeightsError:
    from llama_weights.errors import DownloadError

    return DownloadError(
        "Failed",
        f"{name}: the hub ignores ranges, and a whole shard is not fetched to plan",
        field="HF_ENDPOINT",
        fix="Use another endpoint, or download config.json and name that file",
    )


def _config(source: Checkpoint, file: RemoteFile) -> bytes:
    from llama_weights.errors import VerifyError
    from llama_weights.hashing import digests_of

    data = source.read(file, _LARGEST_CONFIG)
    if digests_of(file, data).published != file.digest:
        raise VerifyError(
            "ChecksumMismatch",
            f"{file.path} is not the file that the hub lists",
            fix="Something between here and the hub changes bytes; try without proxy or mirror",
        )
    return data


_FIELDS = {
    "spec.source.huggingFace.tokenSecretRef": "HF_TOKEN",
    "spec.source.huggingFace.repo": "MODEL",
    "spec.source.huggingFace.endpoint": "HF_ENDPOINT",
    "--repo": "MODEL",
}
_FIXES = {
    "TokenMissing": "Set HF_TOKEN to a token (huggingface.co/settings/tokens) that may read it",
    "TokenInvalid": "Set HF_TOKEN to a valid token that may read gated repositories",
    "NotFound": "Check its spelling and --revision",
    "RateLimited": "Wait and run it again; a token in HF_TOKEN raises the limit",
}
# Words that speak of the Job's objects, and those of a terminal.
_SPOKEN = (
    ("the token in the Secret", "the token"),
    ("Give the authority's certificate in spec.caBundle", "Name the authority's certificate in"),
    ("in (SSL_CERT_FILE)", "in SSL_CERT_FILE"),
    ("Correct spec.caBundle", "Name a readable file"),
    ("remove tokenSecretRef", "unset HF_TOKEN"),
    (" from a pod", ""),
)


def _words(error: WeightsError) -> tuple[str, str, str]:
    fix = _FIXES.get(error.reason, error.fix)
    message = error.message
    for theirs, ours in _SPOKEN:
        message, fix = message.replace(theirs, ours), fix.replace(theirs, ours)
    return _FIELDS.get(error.field, error.field), message, fix

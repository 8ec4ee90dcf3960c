"""Where a copy comes from, and what its two Jobs are told of it.

Secrets are references in the environment; arguments hold what anybody may read. What identifies
the files goes into the name of their directory, so that one source can never provide what another
was asked for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

Object = dict[str, Any]
SOURCE_MOUNT = "/source"
# Tells a Job with another URL apart: the reference to the Secret stays the same.
URL_VERSION = "META_URL_VERSION"
_PREFLIGHT_PATIENCE = ("--retries=3", "--rate-limit-wait=20")


@dataclass(frozen=True)
class Hub:
    """A repository of Hugging Face or of a mirror."""

    repo: str
    revision: str = "main"
    endpoint: str = ""
    # The operator's own hub, where the source names none; it is no part of the identity.
    default_endpoint: str = ""
    token_secret: str = ""
    token_key: str = "token"  # noqa: S105 - the name of an entry, not a token
    token_optional: bool = True
    adapter: bool = False

    @property
    def said(self) -> str:
        """In messages."""
        return self.repo

    @property
    def identity(self) -> Object:
        """A mirror that lies must not provide the copy of somebody who asked Hugging Face."""
        kind = {"adapter": True} if self.adapter else {}
        where = {"endpoint": self.endpoint} if self.endpoint else {}
        return {"repo": self.repo, **where, **kind}

    def look(self) -> list[str]:
        """Arguments of the preflight."""
        revision = f"--revision={self.revision}"
        which = [f"--repo={self.repo}", revision, *_PREFLIGHT_PATIENCE]
        return ["preflight", *which, *self._at(), *_kind(self.adapter)]

    def bring(self, destination: str, commit: str) -> list[str]:
        """Arguments of the fetch."""
        which = [f"--repo={self.repo}", f"--commit={commit}"]
        return ["fetch", *which, f"--dest={destination}", *self._at(), *_kind(self.adapter)]

    def env(self) -> list[Object]:
        """The token, by reference."""
        if not self.token_secret:
            return []
        reference = {
            "name": self.token_secret,
            "key": self.token_key,
            "optional": self.token_optional,
        }
        return [{"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": reference}}]

    def _at(self) -> list[str]:
        endpoint = self.endpoint or self.default_endpoint
        return [f"--endpoint={endpoint}"] if endpoint else []


@dataclass(frozen=True)
class MetaUrl:
    """Meta's server, by the signed URL of a Secret; `entry` is the model as catalogue entry."""

    model: str
    entry: str
    secret: str
    key: str
    version: str
    folder: str = ""
    keep_originals: bool = False

    @property
    def said(self) -> str:
        """In messages."""
        return f"{self.model} from Meta"

    @property
    def identity(self) -> Object:
        """The same model of another folder is another copy."""
        return {"meta": self.model, "folder": self.folder}

    def look(self) -> list[str]:
        """Arguments of the preflight."""
        return ["preflight", *self._which(), *_PREFLIGHT_PATIENCE]

    def bring(self, destination: str, _commit: str) -> list[str]:
        """Arguments of the fetch, which converts as well."""
        kept = ["--keep-originals"] if self.keep_originals else []
        return ["fetch", *self._which(), f"--dest={destination}", *kept]

    def env(self) -> list[Object]:
        """The URL by reference, and what tells it from the one before."""
        reference = {"name": self.secret, "key": self.key, "optional": False}
        return [
            {"name": "META_URL", "valueFrom": {"secretKeyRef": reference}},
            {"name": URL_VERSION, "value": self.version},
        ]

    def _which(self) -> list[str]:
        folder = [f"--folder={self.folder}"] if self.folder else []
        return ["--source=meta", f"--entry={self.entry}", *folder]


@dataclass(frozen=True)
class Placed:
    """Files on a claim of the user; `entry` is "" for a model outside the catalogue.

    `converts` once the look has found Meta's files there: then they are written to our claim. An
    adapter is always copied to ours.
    """

    claim: str
    directory: str
    entry: str = ""
    model: str = ""
    converts: bool = False
    adapter: bool = False

    @property
    def said(self) -> str:
        """In messages."""
        return f"claim {self.claim}/{self.directory}".rstrip("/")

    @property
    def identity(self) -> Object:
        """Only what is converted gets a directory of ours."""
        kind = {"adapter": True} if self.adapter else {}
        return {"claim": self.claim, "path": self.directory, **kind}

    @property
    def place(self) -> str:
        """Where the Jobs see the files."""
        return f"{SOURCE_MOUNT}/{self.directory}".rstrip("/")

    def look(self) -> list[str]:
        """Arguments of the look."""
        entry = [f"--entry={self.entry}"] if self.entry else []
        return ["inspect", self.place, *entry, *_kind(self.adapter)]

    def bring(self, destination: str, _commit: str) -> list[str]:
        """Arguments of the reading, or of the conversion."""
        if self.adapter:
            return ["copy", self.place, destination]
        if self.converts:
            return ["convert", self.place, destination, f"--model={self.model}"]
        return ["adopt", self.place]

    def env(self) -> list[Object]:
        """Nobody is asked."""
        return []


def _kind(adapter: bool) -> list[str]:
    return ["--adapter"] if adapter else []


Origin = Hub | MetaUrl | Placed

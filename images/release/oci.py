"""Indices of images, byte for byte the same for the same images. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Object = dict[str, Any]
INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CHART_LAYER = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"
LAYOUT = {"imageLayoutVersion": "1.0.0"}


@dataclass(frozen=True)
class Image:
    """The manifest of one architecture."""

    digest: str
    size: int


def digest_of(data: bytes) -> str:
    """As registries name it."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def index(images: Mapping[str, Image]) -> bytes:
    """The index of images by architecture."""
    manifests = [
        {
            "mediaType": MANIFEST,
            "digest": image.digest,
            "size": image.size,
            "platform": {"architecture": architecture, "os": "linux"},
        }
        for architecture, image in sorted(images.items())
    ]
    whole = {"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests}
    return json.dumps(whole, separators=(",", ":")).encode()


def images(layout: Object) -> dict[str, Image]:
    """What the index.json of a layout says, by name."""
    return {
        each["annotations"]["org.opencontainers.image.ref.name"]: Image(
            each["digest"], each["size"]
        )
        for each in layout["manifests"]
    }


def layer(manifest: Object, media_type: str) -> str:
    """Digest of the one layer of that kind; "" where there is none."""
    found = [
        each["digest"] for each in manifest.get("layers", []) if each["mediaType"] == media_type
    ]
    return found[0] if len(found) == 1 else ""

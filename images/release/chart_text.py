"""The chart of a release: the tree's own, with the digests that were signed. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

Object = dict[str, Any]
# Where the values name each image.
PATHS = {"operator": ("image",), "weights": ("weights", "image")}


@dataclass(frozen=True)
class SignKey:
    """The PGP key of the chart's .prov, and where its public half is."""

    fingerprint: str
    url: str


def values(text: str, images: Mapping[str, tuple[str, str]]) -> str:
    """values.yaml with repository and digest of each image; comments stay."""
    for target, (repository, digest) in images.items():
        text = replaced(text, (*PATHS[target], "repository"), repository)
        text = replaced(text, (*PATHS[target], "digest"), digest)
    return text


def replaced(text: str, path: Sequence[str], value: str) -> str:
    """One value of a block of YAML; raises ValueError where there is no such path."""
    lines = text.splitlines()
    depth = 0
    for number, line in enumerate(lines):
        indent = len(line) - len(line.lstrip())
        name = line.strip().partition(":")[0]
        if indent < 2 * depth and line.strip() and not line.strip().startswith("#"):
            break
        if indent != 2 * depth or name != path[depth]:
            continue
        depth += 1
        if depth == len(path):
            lines[number] = f"{' ' * indent}{name}: {value}"
            return "\n".join([*lines, ""])
    raise ValueError(f"the chart's values have no {'.'.join(path)}")


def chart(
    text: str, images: Mapping[str, str], platforms: Sequence[str], key: SignKey | None
) -> str:
    """Chart.yaml with the annotations that Artifact Hub reads; `images` is by name."""
    whole: Object = yaml.safe_load(text)
    listed = [
        {"name": name, "image": reference, "platforms": list(platforms)}
        for name, reference in images.items()
    ]
    whole["annotations"]["artifacthub.io/images"] = _text(listed)
    if key:
        said = {"fingerprint": key.fingerprint, "url": key.url}
        whole["annotations"]["artifacthub.io/signKey"] = _text(said)
    return _text(whole)


def _text(value: Any) -> str:
    return yaml.safe_dump(value, sort_keys=False, width=10_000)

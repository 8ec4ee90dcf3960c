"""A rule for the played API server: patches change what it holds, dry runs change nothing."""

from __future__ import annotations

import copy
from typing import Any

from tests.cli.fake_api import Answer, Fake


def takes_patches(fake: Fake, method: str, path: str, body: dict[str, Any]) -> Answer | None:
    """Merge patches, server-side apply (as a merge) and the scale subresource."""
    if method != "PATCH":
        return None
    dry = "dryRun=All" in fake.asked[-1][1]
    place = path.removesuffix("/scale")
    there = fake.objects.get(place)
    made = merged(there or {}, body)
    if made.get("spec") != (there or {}).get("spec"):
        meta = made.setdefault("metadata", {})
        meta["generation"] = int(meta.get("generation", 0)) + 1
    if not dry:
        fake.objects[place] = made
    return 200, made


def merged(value: Any, patch: Any) -> Any:
    """RFC 7386, by itself, so that what is sent is checked by other code than made it."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    found = copy.deepcopy(value) if isinstance(value, dict) else {}
    for key, each in patch.items():
        if each is None:
            found.pop(key, None)
        else:
            found[key] = merged(found.get(key), each)
    return found


def writes(fake: Fake) -> list[str]:
    """Paths that were written to in earnest."""
    return [
        path.split("?")[0]
        for method, path in fake.asked
        if method not in ("GET",) and "dryRun=All" not in path
    ]

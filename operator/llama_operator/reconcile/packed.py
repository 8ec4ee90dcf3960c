"""Children as the caches keep them: packed, for they are read only when their owner is reconciled.

As dictionaries the Deployments of ten thousand LlamaDeployments take half a gigabyte: 18 KB of JSON
each, two thirds of it programs of ours. But they are alike, so the first one of a kind is the
dictionary (of zlib) of all that follow, which then take 0.6 KB and a tenth of a millisecond.
"""

from __future__ import annotations

import zlib
from collections import OrderedDict
from typing import Any

import orjson

from llama_operator.reconcile import mounts
from llama_operator.runtime.compact import Compact

Object = dict[str, Any]
# Revisions are packed in their own way, under a name of its own.
_WHOLE, _COPIES = "whole", "copies"
# What is asked of an object without reading it: which it is, whose, and whether it goes.
_META = ("name", "namespace", "uid", "resourceVersion", "ownerReferences", "deletionTimestamp")
# How many of a kind stay as they are; of a Deployment, 30 KB each without what all of them carry.
LATEST = 64
_LONG = 1000
# Higher levels save a few hundred bytes for three times the time.
_LEVEL = 1
# What was squeezed, and the text that it is told apart from.
Squeezed = tuple[bytes, bytes]


class Squeezer:
    """Any JSON values in fewer bytes; the first one is the pattern of the others."""

    def __init__(self) -> None:
        self._pattern = b""
        self._primed = zlib.compressobj(_LEVEL)

    def __call__(self, value: Any) -> Squeezed:
        """The value in fewer bytes; `restored` brings it back."""
        text = orjson.dumps(value)
        if not self._pattern:
            self._pattern = text
            self._primed = zlib.compressobj(_LEVEL, zdict=text)
        squeeze = self._primed.copy()
        return squeeze.compress(text) + squeeze.flush(), self._pattern


class Packing:
    """Packs the objects of one informer; equal strings of what stays open are shared.

    The latest few stay whole: what was just made changes several times in a moment, and is read
    between those.
    """

    def __init__(self) -> None:
        self._compact = Compact()
        self._squeeze = Squeezer()
        self._long: dict[str, str] = {}
        self._latest: OrderedDict[str, Object] = OrderedDict()

    def __call__(self, obj: Object) -> Object:
        """The object in fewer bytes, by and by; `unpacked` brings it back without managedFields."""
        obj["metadata"].pop("managedFields", None)
        self._share(obj)
        meta = {name: obj["metadata"][name] for name in _META if name in obj["metadata"]}
        kept = {
            **self._compact({"kind": obj["kind"], "metadata": meta}),
            _WHOLE: obj,
            _COPIES: mounts.of_server(obj),
        }
        self._latest.pop(meta["uid"], None)  # nobody reads what it has replaced
        self._latest[meta["uid"]] = kept
        if len(self._latest) > LATEST:
            _, oldest = self._latest.popitem(last=False)
            oldest[_WHOLE] = self._squeeze(oldest[_WHOLE])
        return kept

    def _share(self, obj: Object) -> None:
        """Keep one of the programs that all servers carry: 13 KB in each template."""
        for holder in (obj, obj.get("spec", {}).get("template") or {}):
            told = holder.get("metadata", {}).get("annotations", {})
            for name, value in told.items():
                if len(value) > _LONG:
                    told[name] = self._long.setdefault(value, value)
        if len(self._long) > LATEST:
            self._long.clear()


def unpacked(obj: Object) -> Object:
    """The whole object; one that is not packed is returned as it is."""
    whole = obj.get(_WHOLE, obj)
    return dict(restored(whole)) if isinstance(whole, tuple) else whole


def restored(squeezed: Squeezed) -> Any:
    """What was squeezed; raises zlib.error or ValueError for anything else."""
    data, pattern = squeezed
    return orjson.loads(zlib.decompressobj(zdict=pattern).decompress(data))


def copies_of(obj: Object) -> list[str]:
    """Which copy the servers of a Deployment mount, as index values."""
    return list(obj[_COPIES]) if _COPIES in obj else mounts.of_server(obj)

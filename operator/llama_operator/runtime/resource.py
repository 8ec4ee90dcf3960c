"""Names of things: a Resource is a kind on the API server, a Key one object of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple
from urllib.parse import quote

Object = dict[str, Any]
"""An object as the API server sends it: JSON decoded, camelCase, unknown fields kept."""


class Key(NamedTuple):
    """Namespace (empty for cluster-scoped kinds) and name."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}" if self.namespace else self.name


@lru_cache(maxsize=1024)
def _quoted(part: str) -> str:
    return quote(part, safe="")


@dataclass(frozen=True, slots=True)
class Resource:
    """A kind as the API server serves it; `group` is empty for the core group."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        """`apiVersion` of its objects."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str | None = None, name: str = "", subresource: str = "") -> str:
        """URL path of the collection or of one object; without a namespace, of all of them."""
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        parts = [root]
        if self.namespaced and namespace:
            parts += ["namespaces", _quoted(namespace)]
        parts.append(self.plural)
        parts += [_quoted(part) for part in (name, subresource) if part]
        return "/".join(parts)

    def typed(self, obj: Object) -> Object:
        """Add the kind, which the items of a list of a built-in kind lack."""
        obj.setdefault("apiVersion", self.api_version)
        obj.setdefault("kind", self.kind)
        return obj

    def __str__(self) -> str:
        return f"{self.plural}.{self.group}" if self.group else self.plural


def key_of(obj: Mapping[str, Any]) -> Key:
    """The key of an object."""
    metadata = obj["metadata"]
    return Key(metadata.get("namespace", ""), metadata["name"])


def version_of(obj: Mapping[str, Any]) -> str:
    """The resourceVersion of an object, empty when it has none."""
    return str(obj.get("metadata", {}).get("resourceVersion", ""))


PODS = Resource("", "v1", "pods", "Pod")
LEASES = Resource("coordination.k8s.io", "v1", "leases", "Lease")
EVENTS = Resource("events.k8s.io", "v1", "events", "Event")

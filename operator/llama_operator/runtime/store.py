"""The cache of one kind: objects by key, and indexes computed as they change.

Only the event loop touches it, so there are no locks and a reader between two awaits sees one
state. Objects in it are shared: whoever wants to change one makes a copy.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping

from .resource import Key, Object, key_of

IndexFn = Callable[[Object], Iterable[str]]
Objects = list[Object]
Keys = list[Key]


class Store:
    """Objects with named indexes, each a function from an object to the values it is found by."""

    def __init__(self, indexes: Mapping[str, IndexFn] | None = None) -> None:
        self._objects: dict[Key, Object] = {}
        self._index_fns = dict(indexes or {})
        self._indexes: dict[str, dict[str, set[Key]]] = {name: {} for name in self._index_fns}
        self._values: dict[Key, dict[str, tuple[str, ...]]] = {}

    def __len__(self) -> int:
        return len(self._objects)

    def __contains__(self, key: Key) -> bool:
        return key in self._objects

    def get(self, namespace: str, name: str) -> Object | None:
        """The object or None; not to be changed."""
        return self._objects.get(Key(namespace, name))

    def list(self, namespace: str | None = None) -> Objects:
        """All objects, or those of one namespace."""
        if namespace is None:
            return [*self._objects.values()]
        return [obj for key, obj in self._objects.items() if key.namespace == namespace]

    def keys(self) -> Keys:
        """Keys of all objects."""
        return [*self._objects]

    def by_index(self, index: str, value: str) -> Objects:
        """Objects for which the index function yielded `value`; KeyError for an unknown index."""
        found = self._found(index, value)
        return [self._objects[key] for key in sorted(found)] if found else []

    def any_order(self, index: str, value: str) -> Objects:
        """The same where the order does not matter: of ten thousand, sorting is most of the work."""
        return [self._objects[key] for key in self._found(index, value)]

    def count(self, index: str, value: str) -> int:
        """How many those are."""
        return len(self._found(index, value))

    def _found(self, index: str, value: str) -> Collection[Key]:
        return self._indexes[index].get(value, ())

    def put(self, obj: Object) -> Object | None:
        """Add or replace; returns what was there before."""
        key = key_of(obj)
        values = {name: tuple(dict.fromkeys(fn(obj))) for name, fn in self._index_fns.items()}
        old = self._objects.get(key)
        self._objects[key] = obj
        self._reindex(key, values)
        return old

    def remove(self, key: Key) -> Object | None:
        """Take out; returns what was there."""
        old = self._objects.pop(key, None)
        if old is not None:
            self._reindex(key, {})
        return old

    def _reindex(self, key: Key, new: dict[str, tuple[str, ...]]) -> None:
        if not self._index_fns:
            return
        old = self._values.pop(key, {})
        if new:
            self._values[key] = new
        for name, index in self._indexes.items():
            before, after = old.get(name, ()), new.get(name, ())
            if before != after:
                _move(index, key, before, after)


def _move(
    index: dict[str, set[Key]], key: Key, before: Iterable[str], after: Iterable[str]
) -> None:
    for value in before:
        keys = index[value]
        keys.discard(key)
        if not keys:
            del index[value]
    for value in after:
        index.setdefault(value, set()).add(key)

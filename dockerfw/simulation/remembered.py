"""A memory for results that take long to compute from large values, bounded by their size."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

V = TypeVar("V")


class Remembered(Generic[V]):
    """The results used last, as many as are not larger than `most` together."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._found: dict[Hashable, tuple[V, int]] = {}

    def get(self, key: Hashable) -> V | None:
        """Return a result, or None if it is not known or no longer."""
        entry = self._found.pop(key, None)
        if entry is None:
            return None
        self._found[key] = entry
        return entry[0]

    def put(self, key: Hashable, value: V, size: int) -> V:
        """Keep a result of a size, and return it; one that is too large is not kept."""
        if size <= self._most:
            self._found[key] = value, size
            total = sum(size for _, size in list(self._found.values()))
            for oldest in list(self._found):
                if total <= self._most:
                    break
                total -= self._found.pop(oldest, (value, 0))[1]
        return value

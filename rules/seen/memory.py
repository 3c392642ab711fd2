"""A cache of the last few results in this process.

A key has to name something immutable or carry a version, since nothing expires by time.
"""

from __future__ import annotations

import contextlib
import gc
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from threading import Lock
from typing import Generic, TypeVar

Value = TypeVar("Value")


class Memory(Generic[Value]):
    """The last `size` results, safe for threads."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._lock = Lock()
        self._known: OrderedDict[Hashable, Value] = OrderedDict()

    def get(self, key: Hashable) -> Value | None:
        """Return the cached value of a key, None when there is none."""
        with self._lock:
            return self._known.get(key)

    def get_or_compute(self, key: Hashable, compute: Callable[[], Value]) -> Value:
        """Return the cached value of a key, or compute and cache it; two threads may both compute it."""
        with self._lock:
            if key in self._known:
                self._known.move_to_end(key)
                return self._known[key]
        with _paused_collector():
            value = compute()
        with self._lock:
            self._known[key] = value
            while len(self._known) > self._size:
                self._known.popitem(last=False)
        return value


@contextlib.contextmanager
def _paused_collector() -> Iterator[None]:
    """Pause the garbage collector while something large is computed.

    All of it stays in memory, and scanning it again and again as it grows takes longer than computing it.
    Only the caller that paused the collector enables it again, not a nested call or another thread.
    """
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()

"""Remember a few answers in this process, under keys that change whenever the answer would.

Owns no lifetime but "the last few": a key has to name an immutable thing, or carry a version.
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
    """The last `size` answers, safe among threads."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._lock = Lock()
        self._known: OrderedDict[Hashable, Value] = OrderedDict()

    def get(self, key: Hashable) -> Value | None:
        """Return what is remembered under a key, None when nothing is."""
        with self._lock:
            return self._known.get(key)

    def get_or_compute(self, key: Hashable, make: Callable[[], Value]) -> Value:
        """Return what is remembered under a key, or make and remember it; two threads may both make it."""
        with self._lock:
            if key in self._known:
                self._known.move_to_end(key)
                return self._known[key]
        with _nothing_collected():
            value = make()
        with self._lock:
            self._known[key] = value
            while len(self._known) > self._size:
                self._known.popitem(last=False)
        return value


@contextlib.contextmanager
def _nothing_collected() -> Iterator[None]:
    """Keep the garbage collector off while something large is made.

    All of it stays, and looking through it again and again as it grows takes longer than making it. Whoever
    turned the collector off turns it on: another thread, or a thing of which this one is a part, leaves it.
    """
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()

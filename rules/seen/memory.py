"""A cache of the last few results in this process.

A key has to name something immutable or carry a version, since nothing expires by time.
"""

from __future__ import annotations

import contextlib
import gc
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from threading import Event, Lock
from typing import Final, Generic, TypeVar

Value = TypeVar("Value")


MOST_RULES: Final = 20_000
# A process that was forked in the middle of a computation would wait for a thread that it has not.
LONGEST_WAIT: Final = 30.0


class Memory(Generic[Value]):
    """The last `size` results, safe for threads.

    With `weigh`, which counts the rules that a result holds, older ones are forgotten while all together hold
    more than MOST_RULES. The last `least` stay in any case: one page may need that many.
    """

    def __init__(self, size: int, weigh: Callable[[Value], int] | None = None, least: int = 2) -> None:
        self._size = size
        self._weigh = weigh
        self._least = least
        self._lock = Lock()
        self._known: OrderedDict[Hashable, Value] = OrderedDict()
        self._weights: dict[Hashable, int] = {}
        self._under_way: dict[Hashable, Event] = {}

    def get(self, key: Hashable) -> Value | None:
        """Return the cached value of a key, None when there is none."""
        with self._lock:
            return self._known.get(key)

    def get_or_compute(self, key: Hashable, compute: Callable[[], Value]) -> Value:
        """Return the cached value of a key, or compute and cache it.

        While one thread computes a value, others that ask for it wait: many viewers of one page are as quick
        as one. If it fails or takes very long, each of them computes it.
        """
        with self._lock:
            if key in self._known:
                self._known.move_to_end(key)
                return self._known[key]
            begun = self._under_way.get(key)
            ended = None if begun else self._under_way.setdefault(key, Event())
        if begun is not None:
            begun.wait(LONGEST_WAIT)
            with self._lock:
                if key in self._known:
                    return self._known[key]
        try:
            with paused_collector():
                value = compute()
            with self._lock:
                self._keep(key, value)
        finally:
            if ended is not None:
                with self._lock:
                    del self._under_way[key]
                ended.set()
        return value

    def _keep(self, key: Hashable, value: Value) -> None:
        self._known[key] = value
        if self._weigh is not None:
            self._weights[key] = self._weigh(value)
        while len(self._known) > self._size or (
            len(self._known) > self._least and sum(self._weights.values()) > MOST_RULES
        ):
            oldest, _ = self._known.popitem(last=False)
            self._weights.pop(oldest, None)


@contextlib.contextmanager
def paused_collector() -> Iterator[None]:
    """Pause the garbage collector while something large is computed, or a lock is held that others wait for.

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

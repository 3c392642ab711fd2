"""Refusals folded into batches: alike ones counted together, and all of it bounded.

The moment is handed in, so that nothing here has a clock.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from dockerfw.messages.refusals import MOST_REFUSALS, Refusal, RefusalBatch

PER_SECOND: Final = 50.0
"""How many different refusals a second are shown in the long run, so that a stream stays small."""
_SEQUENCES: Final = 1 << 32


class Folding:
    """The refusals of one host since its last batch."""

    def __init__(self, host: str, *, per_second: float = PER_SECOND, most: int = MOST_REFUSALS) -> None:
        self._host = host
        self._per_second = per_second
        self._most = most
        self._room = float(most)
        self._then: float | None = None
        self._found: dict[Refusal, tuple[str, int]] = {}
        self._dropped = 0
        self._first = ""
        self._last = ""
        self._sequence: int | None = None

    def note_sequence(self, sequence: int | None) -> None:
        """Count the packets that the kernel had no room for, by the gap in its numbers."""
        if sequence is None:
            return
        if self._sequence is not None:
            gap = (sequence - self._sequence - 1) % _SEQUENCES
            # A gap of half the numbers is one backwards: the group was bound anew.
            self._dropped += gap if gap < _SEQUENCES // 2 else 0
        self._sequence = sequence

    def note_dropped(self, count: int, at: str) -> None:
        """Count packets that are known of, and not shown."""
        if count:
            self._dropped += count
            self._see(at)

    def add(self, refusals: Iterable[Refusal], moment: float) -> None:
        """Add refusals at a moment in seconds; what does not fit is counted."""
        if self._then is not None:
            refilled = self._room + (moment - self._then) * self._per_second
            self._room = min(float(self._most), max(self._room, refilled))
        self._then = moment
        for one in refusals:
            self._see(one.at)
            key = replace(one, at="", count=1)
            if (known := self._found.get(key)) is not None:
                self._found[key] = (known[0], known[1] + one.count)
            elif self._room >= 1 and len(self._found) < self._most:
                self._room -= 1
                self._found[key] = (one.at, one.count)
            else:
                self._dropped += one.count

    def _see(self, at: str) -> None:
        self._first = self._first or at
        self._last = max(self._last, at)

    @property
    def is_empty(self) -> bool:
        """True if there is nothing to send."""
        return not self._found and not self._dropped

    def take(self, at: str) -> RefusalBatch:
        """Return what was folded since the last time, and start again."""
        refusals = tuple(replace(key, at=first, count=count) for key, (first, count) in self._found.items())
        batch = RefusalBatch(self._host, self._first or at, self._last or at, refusals, self._dropped)
        self._found, self._dropped, self._first, self._last = {}, 0, "", ""
        return batch

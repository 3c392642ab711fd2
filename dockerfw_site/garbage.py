"""When the web process looks for unused objects that refer to each other: after an answer, not before it.

Python looks for them after each 700 new objects. A review of 10,000 rules makes hundreds of thousands that
stay, and looking through these again and again took a third of its time. What templates leave behind refers
to itself and holds all that a page showed, so each large answer is followed by a look at what is new.
"""

from __future__ import annotations

import gc
from typing import Final

# An answer that leaves fewer new objects behind is followed by no look.
MANY: Final = 10_000
# Objects of other requests under way grow old with each look. After so many looks everything is looked at.
WHOLE_EVERY: Final = 100
# Only a request that makes more than this is interrupted.
_TOO_MANY: Final = 1_000_000


class Collector:
    """Collects garbage after answers."""

    def __init__(self) -> None:
        """Begin with no look."""
        self._looks = 0

    def start(self) -> None:
        """Let Python interrupt no request, and never look at what the process has loaded until now."""
        gc.collect()
        gc.freeze()
        gc.set_threshold(_TOO_MANY, 10, 10)

    def after_answer(self) -> None:
        """Collect what the requests since the last look left behind, if that is much."""
        if gc.get_count()[0] < MANY:
            return
        self._looks += 1
        gc.collect(2 if self._looks % WHOLE_EVERY == 0 else 1)

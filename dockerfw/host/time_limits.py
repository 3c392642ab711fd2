"""Time limits that grow with what is loaded: a slow machine is not a hung one.

A limit is a fixed part, which an empty text may take as well, and a part for the lines of the texts.
"""

from __future__ import annotations

from typing import Final

LINES_A_SECOND: Final = 1_000
"""An idle machine loads or compares some 35,000 lines a second, one under heavy load a tenth of that."""


def extra_seconds(*texts: str) -> float:
    """Return the seconds that the lines of restore texts add to a time limit."""
    return sum(text.count("\n") for text in texts) / LINES_A_SECOND

"""The mark of the last rules that iptables-save printed exactly, for the next process of a job."""

from __future__ import annotations

import contextlib
import logging
from pathlib import Path
from typing import Final

from dockerfw.host.exact_rules import exact_mark, remember_exact
from dockerfw.host.files import read_bounded, write_durably

logger = logging.getLogger("dockerfw.exact")

FILE: Final = "exact-rules"
_MOST_BYTES: Final = 200


def store_exact_mark(directory: Path) -> None:
    """Store what this process knows, if that is news. Never raises."""
    mark = exact_mark()
    try:
        if mark and mark != _read(directory):
            write_durably(directory / FILE, mark.encode("ascii"))
    except OSError as error:
        # Then the next look lists all rules again.
        logger.warning("%s is not written: %s", FILE, error)


def recall_exact_mark(directory: Path) -> None:
    """Remember in this process what the last one stored. Never raises."""
    with contextlib.suppress(OSError):
        remember_exact(_read(directory))


def _read(directory: Path) -> str:
    raw = read_bounded(directory / FILE, most=_MOST_BYTES)
    # It is only ever compared with a mark of now.
    return "" if raw is None else raw.decode("ascii", "replace")

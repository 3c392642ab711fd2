"""When the contents of bound sets changed last, for the reports: no apply does that, and no revision.

The root worker's loop looks at the kernel when this file changes, and pages know that an earlier look does
not show what the rules match now.
"""

from __future__ import annotations

import contextlib
import logging
from dataclasses import dataclass
from typing import Annotated, ClassVar, Final

from dockerfw.host.clock import utc_now
from dockerfw.host.files import read_bounded, write_durably
from dockerfw.messages.about import MAX_CHANGE
from dockerfw.messages.shapes import Text, Time
from dockerfw.store.records import StateError, StateFile
from dockerfw.store.state import StateDirectory

logger = logging.getLogger("dockerfw.sets")

FILE: Final = "set-change.json"
MAX_BYTES: Final = 4096


@dataclass(frozen=True, slots=True)
class SetChange(StateFile):
    """The moment after a change, by the wall clock, and what changed, such as "a list was filled"."""

    FORMAT: ClassVar = "dockerfw-set-change/1"
    MAX_BYTES: ClassVar = MAX_BYTES

    at: Time
    text: Annotated[str, Text(MAX_CHANGE)]


def note_set_change(state: StateDirectory, text: str) -> None:
    """Note that sets have other members since this moment; call it after the change. Never raises."""
    try:
        write_durably(state.path / FILE, SetChange(utc_now(), text).to_bytes())
    except OSError as error:
        # The next look, which comes at the latest after the usual time, shows the change anyway.
        logger.warning("%s is not written: %s", FILE, error)


def read_set_change(state: StateDirectory) -> SetChange | None:
    """Return the last change, None when none is known. Never raises."""
    with contextlib.suppress(StateError, OSError):
        raw = read_bounded(state.path / FILE, most=MAX_BYTES)
        return None if raw is None else SetChange.from_bytes(raw, FILE)
    return None

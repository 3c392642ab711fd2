"""Read the clocks: the wall clock now, when the root worker started, and the times of its files."""

from __future__ import annotations

import contextlib
import time

from dockerfw.host.clock import boot_id, boottime
from dockerfw.messages.about import About
from dockerfw.store.state import StateDirectory, StateError


def wall_offset() -> float:
    """Return the wall clock less CLOCK_BOOTTIME, in seconds."""
    return time.time() - boottime()


def began_in_this_boot(about: About | None) -> float | None:
    """Return the offset at which the root worker started, None when unknown or of another boot."""
    with contextlib.suppress(OSError):
        if about is not None and about.boot == boot_id():
            return about.offset
    return None


def last_sequence(state: StateDirectory) -> float | None:
    """Return the time in the last accepted sequence number, None when this process cannot read it."""
    with contextlib.suppress(OSError, StateError):
        return state.read_last_order().sequence / 1000
    return None


def newest_file(state: StateDirectory) -> float | None:
    """Return when the root worker last wrote a lasting file, None when this process cannot see that."""
    times = []
    with contextlib.suppress(OSError):
        for folder in (state.path, state.journal):
            times += [path.lstat().st_mtime for path in folder.iterdir() if path.is_file()]
    return max(times, default=None)

"""Read what the root worker left in its state directory: its start, its reports, its window, a restore."""

from __future__ import annotations

import contextlib
import time

from dockerfw.host.files import read_bounded
from dockerfw.messages.about import ABOUT_FILE, MAX_BYTES, About
from dockerfw.messages.codec import load_json
from dockerfw.messages.errors import MessageError
from dockerfw.store.interrupted import read_restore_record
from dockerfw.store.state import StateDirectory, StateError
from dockerfw.window.window import describe_overdue


def about_from_state(state: StateDirectory) -> About | None:
    """Return what the root worker wrote about itself when it started, None when that is not known."""
    with contextlib.suppress(OSError, MessageError):
        raw = read_bounded(state.path / ABOUT_FILE, most=MAX_BYTES)
        return None if raw is None else About.from_json(load_json(raw))
    return None


def waiting_words(state: StateDirectory) -> tuple[int | None, float]:
    """Return the number of reports in the journal, None when it cannot be seen, and the oldest one's age."""
    try:
        if not state.path.is_dir():
            return None, 0.0
        paths = [path for path in state.journal.iterdir() if path.suffix == ".json"]
        times = [path.stat().st_mtime for path in paths if path.name.startswith(("outcome-", "console-"))]
    except OSError:
        return None, 0.0
    return len(times), max(0.0, time.time() - min(times, default=time.time()))


def window_left(state: StateDirectory) -> str | None:
    """Return which apply is overdue, empty for none, None when that cannot be seen."""
    try:
        if not state.path.is_dir():
            return None
        record = state.read_window()
    except StateError as error:
        return str(error)
    except OSError:
        return None
    return describe_overdue(record) if record is not None else ""


def restore_left(state: StateDirectory) -> str | None:
    """Return which restore was interrupted, empty for none, None when that cannot be seen."""
    try:
        if not state.path.is_dir():
            return None
        left = read_restore_record(state.path)
    except OSError:
        return None
    return left.words(state.path) if left is not None else ""

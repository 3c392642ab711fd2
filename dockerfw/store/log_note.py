"""The note that the last apply left out the log lines, because this kernel cannot log refused packets."""

from __future__ import annotations

from dockerfw.host.files import read_bounded, write_durably
from dockerfw.store.state import StateDirectory

LOG_NOTE = "log-left-out"
MOST_BYTES = 4000


def write_log_note(state: StateDirectory, reason: str) -> None:
    """Note why the log lines were left out; an empty reason removes the note. Raises OSError."""
    path = state.path / LOG_NOTE
    if reason:
        write_durably(path, reason.encode("utf-8", "replace")[:MOST_BYTES])
    elif path.exists():
        path.unlink(missing_ok=True)


def read_log_note(state: StateDirectory) -> str:
    """Return why the log lines were left out, empty where they were not. Raises OSError."""
    raw = read_bounded(state.path / LOG_NOTE, most=MOST_BYTES)
    return "" if raw is None else raw.decode("utf-8", "replace")

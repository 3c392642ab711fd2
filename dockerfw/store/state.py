"""The root worker's state directory: who may change the rules, the last sequence number, the open window.

Owns the names of the files and the locks. What the window's files hold is for `records`; what is done about
them is for `window`. It must not run a command or know about Redis.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from dockerfw.host.clock import boot_id
from dockerfw.host.files import (
    LockedOut,
    lock_holders,
    locked,
    make_directory,
    read_bounded,
    remove_durably,
    write_all_durably,
    write_durably,
)
from dockerfw.host.runner import passed_on
from dockerfw.messages.shapes import Count, Text
from dockerfw.store.bootfiles import boot_apply
from dockerfw.store.records import (
    MAX_UNDO_BYTES,
    MAX_WINDOW_BYTES,
    StateError,
    StateFile,
    UndoRecord,
    WindowRecord,
)

__all__ = ["Begun", "StateDirectory", "StateError"]

logger = logging.getLogger("dockerfw.state")

KILLED_WITHIN_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Begun(StateFile):
    """The order or answer that was accepted last: its sequence number and the apply's id."""

    sequence: Count
    apply: Annotated[str, Text(64)]


class StateDirectory:
    """The root worker's own directory (mode 0700)."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.journal = path / "journal"
        self.boot = path / "boot"
        self._sequence = path / "sequence.json"
        self._window = path / "window.json"
        self._undo = path / "undo.json"
        self._lock = path / "lock"
        self._released = path / "released"
        self._booted = path / "booted"

    def prepare(self) -> None:
        """Make the directories that are missing, and keep others out of them. Raises OSError."""
        for directory in (self.path, self.journal):
            make_directory(directory)
            # Docker lets everybody look into a folder that it makes for a mount.
            directory.chmod(0o700)

    @contextlib.contextmanager
    def lock(self, *, seconds: float = 30.0) -> Iterator[None]:
        """Hold the right to change this host's rules. Raises LockedOut and OSError.

        Commands that are run meanwhile hold it too, until they end.
        """
        with locked(self._lock, seconds=seconds) as descriptor:
            passed_on.add(descriptor)
            try:
                yield
            finally:
                passed_on.discard(descriptor)

    @contextlib.contextmanager
    def lock_by_force(self, *, patience: float) -> Iterator[None]:
        """Hold the lock after `patience` seconds even if those who hold it must be killed for it.

        Raises LockedOut and OSError.
        """
        end = time.monotonic() + patience + KILLED_WITHIN_SECONDS
        while True:
            with contextlib.ExitStack() as stack:
                try:
                    stack.enter_context(self.lock(seconds=patience))
                except LockedOut:
                    if time.monotonic() > end:
                        raise
                    self._kill_holders()
                    patience = 0.2
                    continue
                yield
                return

    def sweep(self) -> None:
        """Remove the drafts of files that killed processes left; hold the lock for it. Raises OSError."""
        for directory in (self.path, self.journal):
            for draft in directory.glob(".*"):
                draft.unlink(missing_ok=True)

    def worker_lock(self) -> AbstractContextManager[int]:
        """Hold the right to be this directory's only root worker. Raises LockedOut and OSError."""
        return locked(self.path / "worker.lock", seconds=2.0)

    def watchdog_lock(self, *, seconds: float = 0.0) -> AbstractContextManager[int]:
        """Hold the right to be this directory's only watchdog. Raises LockedOut and OSError."""
        return locked(self.path / "watchdog.lock", seconds=seconds)

    def last_begun(self) -> Begun:
        """Return what was let in last, sequence 0 for nothing. Raises StateError, OSError."""
        raw = read_bounded(self._sequence, most=4096)
        return Begun(0, "") if raw is None else Begun.from_bytes(raw, str(self._sequence))

    def write_begun(self, begun: Begun) -> None:
        """Remember what is let in, for good. Raises OSError."""
        write_durably(self._sequence, begun.to_bytes())

    def window_changed(self) -> tuple[int, int] | None:
        """Return a mark that is another one whenever the window's file is; None when there is no window."""
        try:
            found = self._window.stat()
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns

    def read_window(self) -> WindowRecord | None:
        """Return the apply that has not come to its end. Raises StateError, OSError."""
        raw = read_bounded(self._window, most=MAX_WINDOW_BYTES)
        return None if raw is None else WindowRecord.from_bytes(raw, str(self._window))

    def read_undo(self) -> UndoRecord | None:
        """Return the way back of the apply that has not come to its end. Raises StateError, OSError."""
        raw = read_bounded(self._undo, most=MAX_UNDO_BYTES)
        return None if raw is None else UndoRecord.from_bytes(raw, str(self._undo))

    def open_window(self, window: WindowRecord, undo: UndoRecord) -> None:
        """Remember how to undo what is about to be loaded, and until when. Raises OSError."""
        # In this order: where there is a window, there is its way back.
        files = {self._undo: (undo.to_bytes(), 0o600), self._window: (window.to_bytes(), 0o600)}
        write_all_durably(files)

    def write_window(self, window: WindowRecord) -> None:
        """Change what is known of the open window. Raises OSError."""
        write_durably(self._window, window.to_bytes())

    def close_window(self) -> None:
        """Forget the window and the way back: the apply came to its end. Raises OSError."""
        remove_durably(self._window)
        with contextlib.suppress(OSError):
            self._undo.unlink()

    def released(self) -> bool:
        """Say whether the console let go of the host since the last revision was kept."""
        with contextlib.suppress(OSError):
            raw = read_bounded(self._released, most=4096)
            return raw is not None and raw.decode("ascii", "replace") == boot_apply(self.boot)
        return False

    def mark_released(self) -> None:
        """Remember, until another revision is kept, that the console let go of the host. Raises OSError."""
        write_durably(self._released, boot_apply(self.boot).encode())
        self.mark_boot()

    def had_boot(self) -> bool:
        """Say whether this boot needs no loading any more. Raises OSError."""
        raw = read_bounded(self._booted, most=4096)
        return raw is not None and raw.decode("ascii", "replace") == boot_id()

    def mark_boot(self) -> None:
        """Remember that this boot needs no loading: it was done, or is not wanted. Raises OSError."""
        write_durably(self._booted, boot_id().encode())

    def _kill_holders(self) -> None:
        for pid in lock_holders(self._lock):
            logger.error("process %d holds %s for too long and is killed", pid, self._lock)
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)

"""The root worker's state directory: its locks and files, the last sequence number, the open window.

The contents of the window's files are defined in `records`.
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
    LockHeld,
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

__all__ = ["LastOrder", "StateDirectory", "StateError"]

logger = logging.getLogger("dockerfw.state")

KILLED_WITHIN_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class LastOrder(StateFile):
    """The last accepted order or answer: its sequence number and the id of its apply."""

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
        """Create missing directories, and close them to other users. Raises OSError."""
        for directory in (self.path, self.journal):
            make_directory(directory)
            # Docker creates a mount's folder readable for all users.
            directory.chmod(0o700)

    @contextlib.contextmanager
    def lock(self, *, seconds: float = 30.0) -> Iterator[None]:
        """Hold the lock on this host's rules. Raises LockHeld and OSError.

        Commands that start meanwhile hold it too, until they end.
        """
        with locked(self._lock, seconds=seconds) as descriptor:
            passed_on.add(descriptor)
            try:
                yield
            finally:
                passed_on.discard(descriptor)

    @contextlib.contextmanager
    def lock_by_force(self, *, patience: float) -> Iterator[None]:
        """Hold the lock on this host's rules; after `patience` seconds kill the processes that hold it.

        Raises LockHeld and OSError.
        """
        end = time.monotonic() + patience + KILLED_WITHIN_SECONDS
        while True:
            with contextlib.ExitStack() as stack:
                try:
                    stack.enter_context(self.lock(seconds=patience))
                except LockHeld:
                    if time.monotonic() > end:
                        raise
                    self._kill_holders()
                    patience = 0.2
                    continue
                yield
                return

    def remove_drafts(self) -> None:
        """Remove temporary files that killed processes left. Hold the lock. Raises OSError."""
        for directory in (self.path, self.journal):
            for draft in directory.glob(".*"):
                draft.unlink(missing_ok=True)

    def worker_lock(self) -> AbstractContextManager[int]:
        """Hold the lock of the only root worker of this directory. Raises LockHeld and OSError."""
        return locked(self.path / "worker.lock", seconds=2.0)

    def watchdog_lock(self, *, seconds: float = 0.0) -> AbstractContextManager[int]:
        """Hold the lock of the only watchdog of this directory. Raises LockHeld and OSError."""
        return locked(self.path / "watchdog.lock", seconds=seconds)

    def read_last_order(self) -> LastOrder:
        """Return the last accepted order, with sequence 0 if there is none. Raises StateError and OSError."""
        raw = read_bounded(self._sequence, most=4096)
        return LastOrder(0, "") if raw is None else LastOrder.from_bytes(raw, str(self._sequence))

    def write_last_order(self, order: LastOrder) -> None:
        """Store the last accepted order durably. Raises OSError."""
        write_durably(self._sequence, order.to_bytes())

    def has_window(self) -> bool:
        """Return True if an apply is being loaded or waits for confirmation."""
        return self.window_version() is not None

    def window_version(self) -> tuple[int, int] | None:
        """Return a value that differs after each write of the window's file, None when there is no window."""
        try:
            found = self._window.stat()
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns

    def read_window(self) -> WindowRecord | None:
        """Return the apply that is being loaded or waits for confirmation. Raises StateError and OSError."""
        raw = read_bounded(self._window, most=MAX_WINDOW_BYTES)
        return None if raw is None else WindowRecord.from_bytes(raw, str(self._window))

    def read_undo(self) -> UndoRecord | None:
        """Return the previous rules of that apply, if there is one. Raises StateError and OSError."""
        raw = read_bounded(self._undo, most=MAX_UNDO_BYTES)
        return None if raw is None else UndoRecord.from_bytes(raw, str(self._undo))

    def open_window(self, window: WindowRecord, undo: UndoRecord) -> None:
        """Store the window and the previous rules before a load. Raises OSError."""
        # In this order: a window on disk always has its previous rules.
        files = {self._undo: (undo.to_bytes(), 0o600), self._window: (window.to_bytes(), 0o600)}
        write_all_durably(files)

    def write_window(self, window: WindowRecord) -> None:
        """Store a change of the open window. Raises OSError."""
        write_durably(self._window, window.to_bytes())

    def close_window(self) -> None:
        """Remove the window and the previous rules, because the apply has ended. Raises OSError."""
        remove_durably(self._window)
        with contextlib.suppress(OSError):
            self._undo.unlink()

    def is_released(self) -> bool:
        """Return True if root released the host on the console after the last revision was confirmed."""
        with contextlib.suppress(OSError):
            raw = read_bounded(self._released, most=4096)
            return raw is not None and raw.decode("ascii", "replace") == boot_apply(self.boot)
        return False

    def mark_released(self) -> None:
        """Note, until another revision is confirmed, that root released the host. Raises OSError."""
        write_durably(self._released, boot_apply(self.boot).encode())
        self.mark_boot_handled()

    def is_boot_handled(self) -> bool:
        """Return True if the confirmed revision need not be loaded in this boot any more. Raises OSError."""
        raw = read_bounded(self._booted, most=4096)
        return raw is not None and raw.decode("ascii", "replace") == boot_id()

    def mark_boot_handled(self) -> None:
        """Note that this boot needs no loading: it was done, or is not wanted. Raises OSError."""
        write_durably(self._booted, boot_id().encode())

    def _kill_holders(self) -> None:
        for pid in lock_holders(self._lock):
            logger.error("process %d has held %s for too long and is killed", pid, self._lock)
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)

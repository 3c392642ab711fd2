"""What the watchdog does: it waits for the deadline, or for the death of the process that loads the rules.

Owns the timer of one confirmation window. It needs neither Redis nor the root worker nor the wall clock, and
goes on until the window is closed, by whomever.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import time

from dockerfw.host.files import LockHeld
from dockerfw.host.hooks import checkpoint
from dockerfw.store.records import WindowRecord
from dockerfw.store.state import StateDirectory
from dockerfw.window.window import end_if_due, seconds_left

logger = logging.getLogger("dockerfw.watchdog")

LOOK_SECONDS = 0.25
PATIENCE_SECONDS = 1.0
RETRY_SECONDS = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)


class Watchdog:
    """One window, and the pipe that breaks when the process that loads its rules dies."""

    def __init__(self, state: StateDirectory, apply: str, *, loader: int | None) -> None:
        self._state = state
        self._apply = apply
        self._loader = loader
        self._loader_died = False
        self._mark: tuple[int, int] | None = None
        self._record: WindowRecord | None = None

    def watch(self) -> None:
        """Return when the window is closed, by whomever."""
        failures = 0
        with contextlib.ExitStack() as stack:
            # An older one may be about to end: a second pair of eyes does no harm.
            with contextlib.suppress(LockHeld):
                stack.enter_context(self._state.watchdog_lock(seconds=2 * LOOK_SECONDS))
            while (record := self._look()) is not None:
                if not self._due(record):
                    failures = 0
                    self._wait(min(LOOK_SECONDS, seconds_left(record)))
                elif not self._end():
                    self._wait(RETRY_SECONDS[min(failures, len(RETRY_SECONDS) - 1)])
                    failures += 1

    def _look(self) -> WindowRecord | None:
        """Return our window as it is now, None when it is closed."""
        mark = self._state.window_version()
        if mark is None:
            return None
        if mark != self._mark or self._record is None:
            self._record, self._mark = self._state.read_window(), mark
        return self._record if self._record is not None and self._record.apply == self._apply else None

    def _due(self, record: WindowRecord) -> bool:
        return seconds_left(record) <= 0 or (self._loader_died and record.phase == "loading")

    def _end(self) -> bool:
        """End the window if nobody else did; say whether nothing is left to do."""
        checkpoint("watchdog-due")
        try:
            with self._state.lock_by_force(patience=PATIENCE_SECONDS):
                end_if_due(self._state)
        # Whatever it is: giving up would leave rules in force that nobody kept.
        except Exception as error:  # noqa: BLE001
            logger.error("apply %s is not ended yet, trying again: %s", self._apply, error)
            return False
        return True

    def _wait(self, seconds: float) -> None:
        if self._loader is None:
            time.sleep(seconds)
            return
        ready, _, _ = select.select([self._loader], [], [], seconds)
        if ready and not os.read(self._loader, 100):
            self._loader, self._loader_died = None, True

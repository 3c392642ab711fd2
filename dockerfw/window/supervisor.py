"""The root worker's check of the open window, beside the watchdog's.

When the worker starts, and between its jobs, it replaces a watchdog that was killed, and ends a window whose
deadline passed without its watchdog ending it.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable

from dockerfw.host.background import BackgroundProcess
from dockerfw.host.clock import boottime
from dockerfw.host.files import LockHeld
from dockerfw.store.bootfiles import boot_apply
from dockerfw.store.state import StateDirectory
from dockerfw.window.watchdog_start import is_watchdog_alive, start_another
from dockerfw.window.window import end_if_due, roll_back, seconds_left

logger = logging.getLogger("dockerfw.supervisor")

# Seconds between checks while a window is open, until the watchdog must have ended it, and until its lock is
# taken by force.
CHECK_SECONDS = 1.0
GRACE_SECONDS = 1.0
FORCE_SECONDS = 3.0
START_PATIENCE_SECONDS = 5.0
DRAFTS_SECONDS = 0.5
# A watchdog takes its lock only after the load, to stay out of its way; until then it is not missed.
STARTING_SECONDS = 5.0


class Supervisor:
    """Supervises the window of one state directory; `on_closed` is called after a window was closed."""

    def __init__(self, state: StateDirectory, *, on_closed: Callable[[], None]) -> None:
        self._state = state
        self._on_closed = on_closed
        self._was_open = False
        self._watchdogs: list[BackgroundProcess] = []

    def start(self) -> None:
        """End what an earlier root worker left unfinished. Raises what `end_if_due` raises, and LockHeld."""
        with contextlib.suppress(LockHeld, OSError), self._state.lock(seconds=DRAFTS_SECONDS):
            self._state.remove_drafts()
        if self._state.has_window():
            with self._state.lock_by_force(patience=START_PATIENCE_SECONDS):
                end_if_due(self._state)

    def roll_back_at_exit(self) -> None:
        """Roll back an open window whose watchdog ends with this process. Never raises."""
        try:
            with self._state.lock_by_force(patience=START_PATIENCE_SECONDS):
                if end_if_due(self._state) is None and (record := self._state.read_window()) is not None:
                    roll_back(self._state, record, "stopped")
        # The next start ends the window if its time is over by then.
        except Exception as error:  # noqa: BLE001
            logger.error("the open window could not be rolled back: %s", error)

    def check(self) -> float | None:
        """Check the window; return the seconds until the next check, None for any time. Never raises."""
        self._watchdogs = [process for process in self._watchdogs if process.poll() is None]
        if self._state.has_window():
            self._was_open = True
            try:
                self._check_window()
            # The next check comes in a moment, whatever it was.
            except Exception as error:  # noqa: BLE001
                logger.warning("the open window: %s", error)
            return CHECK_SECONDS
        if self._was_open:
            self._was_open = False
            self._on_closed()
        return None

    def _check_window(self) -> None:
        record = self._state.read_window()
        if record is None:
            return
        overdue = boottime() - record.deadline
        # The first moments after the deadline are the watchdog's. A load is over when its lock is free.
        if boot_apply(self._state.boot) == record.apply:
            # It is kept; only its last outcome is not written yet.
            self._end(force=False)
        elif record.phase == "awaiting" and seconds_left(record) > 0:
            if boottime() - record.opened > STARTING_SECONDS and not is_watchdog_alive(self._state):
                logger.warning("the watchdog of apply %s is gone: starting another one", record.apply)
                self._watchdogs.append(start_another(self._state, record.apply))
        elif not 0 <= overdue < GRACE_SECONDS:
            self._end(force=overdue > FORCE_SECONDS)

    def _end(self, *, force: bool) -> None:
        try:
            with self._state.lock_by_force(patience=0.5) if force else self._state.lock(seconds=0.1):
                end_if_due(self._state)
        except LockHeld:
            logger.info("another process loads rules or ends the window")

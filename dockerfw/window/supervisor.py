"""Minds the open window from the root worker: the second and the third pair of eyes beside the watchdog.

Owns what the worker does about a window between jobs and when it starts: it starts a new watchdog when the
first was ended, and ends the window itself when its deadline passed and no watchdog did. It must not know
what the queue is for.
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
from dockerfw.window.watchdog_start import start_again, watchdog_lives
from dockerfw.window.window import end_if_due, roll_back, seconds_left

logger = logging.getLogger("dockerfw.minder")

# How often to look while a window is open, how long the watchdog gets to end it, and how long for its locks.
LOOK_SECONDS = 1.0
GRACE_SECONDS = 1.0
FORCE_SECONDS = 3.0
START_PATIENCE_SECONDS = 5.0
SWEEP_SECONDS = 0.5
# A watchdog takes its lock when the load is over, so as not to be in its way; until then nobody misses it.
STARTING_SECONDS = 5.0


class Minder:
    """The root worker's eyes on the window of one state directory; `closed` is called when one was closed."""

    def __init__(self, state: StateDirectory, *, closed: Callable[[], None]) -> None:
        self._state = state
        self._closed = closed
        self._was_open = False
        self._watchdogs: list[BackgroundProcess] = []

    def start(self) -> None:
        """End what an earlier root worker left half done. Raises what `end_if_due` raises, and LockHeld."""
        with contextlib.suppress(LockHeld, OSError), self._state.lock(seconds=SWEEP_SECONDS):
            self._state.remove_drafts()
        if self._state.has_window():
            with self._state.lock_by_force(patience=START_PATIENCE_SECONDS):
                end_if_due(self._state)

    def leave(self) -> None:
        """Roll an open window back, where the watchdog ends with this process. Never raises."""
        try:
            with self._state.lock_by_force(patience=START_PATIENCE_SECONDS):
                if end_if_due(self._state) is None and (record := self._state.read_window()) is not None:
                    roll_back(self._state, record, "stopped")
        # The next start ends the window, if its time is over by then.
        except Exception as error:  # noqa: BLE001
            logger.error("the open window could not be rolled back: %s", error)

    def look(self) -> float | None:
        """Look after the window; say in how many seconds to look again, None for whenever. Never raises."""
        self._watchdogs = [process for process in self._watchdogs if process.poll() is None]
        if self._state.has_window():
            self._was_open = True
            try:
                self._mind()
            # It is looked at again in a moment, whatever it was.
            except Exception as error:  # noqa: BLE001
                logger.warning("the open window: %s", error)
            return LOOK_SECONDS
        if self._was_open:
            self._was_open = False
            self._closed()
        return None

    def _mind(self) -> None:
        record = self._state.read_window()
        if record is None:
            return
        overdue = boottime() - record.deadline
        # In the first moments after the deadline it is the watchdog's. A load is over when its lock is free.
        if boot_apply(self._state.boot) == record.apply:
            # Kept; only its last word is not written yet.
            self._end(force=False)
        elif record.phase == "awaiting" and seconds_left(record) > 0:
            if boottime() - record.opened > STARTING_SECONDS and not watchdog_lives(self._state):
                logger.warning("the watchdog of apply %s is gone: another one is started", record.apply)
                self._watchdogs.append(start_again(self._state, record.apply))
        elif not 0 <= overdue < GRACE_SECONDS:
            self._end(force=overdue > FORCE_SECONDS)

    def _end(self, *, force: bool) -> None:
        try:
            with self._state.lock_by_force(patience=0.5) if force else self._state.lock(seconds=0.1):
                end_if_due(self._state)
        except LockHeld:
            logger.info("somebody else loads the rules, or ends the window")

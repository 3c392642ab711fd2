"""The watchdog of one window: it waits for the deadline, or for the death of the process that loads the
rules.

It needs neither Redis nor the root worker nor the wall clock, and runs until the window is closed.
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

CHECK_SECONDS = 0.25
PATIENCE_SECONDS = 1.0
RETRY_SECONDS = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)


class Watchdog:
    """Watches one window, and the pipe `loader` that breaks when the process that loads its rules dies."""

    def __init__(self, state: StateDirectory, apply: str, *, loader: int | None) -> None:
        self._state = state
        self._apply = apply
        self._loader = loader
        self._loader_died = False
        self._version: tuple[int, int] | None = None
        self._record: WindowRecord | None = None

    def watch(self) -> None:
        """Return when the window is closed, by this process or another."""
        failures = 0
        with contextlib.ExitStack() as stack:
            # An older watchdog may be about to exit; two at a time do no harm.
            with contextlib.suppress(LockHeld):
                stack.enter_context(self._state.watchdog_lock(seconds=2 * CHECK_SECONDS))
            while (record := self._read_window()) is not None:
                if not self._is_due(record):
                    failures = 0
                    self._wait(min(CHECK_SECONDS, seconds_left(record)))
                elif not self._end():
                    self._wait(RETRY_SECONDS[min(failures, len(RETRY_SECONDS) - 1)])
                    failures += 1

    def _read_window(self) -> WindowRecord | None:
        """Return the watched window as it is now, None when it is closed."""
        version = self._state.window_version()
        if version is None:
            return None
        if version != self._version or self._record is None:
            self._record, self._version = self._state.read_window(), version
        return self._record if self._record is not None and self._record.apply == self._apply else None

    def _is_due(self, record: WindowRecord) -> bool:
        return seconds_left(record) <= 0 or (self._loader_died and record.phase == "loading")

    def _end(self) -> bool:
        """End the window unless another process did; return False to retry."""
        checkpoint("watchdog-due")
        try:
            with self._state.lock_by_force(patience=PATIENCE_SECONDS):
                end_if_due(self._state)
        # Whatever it is: giving up would leave rules active that were not kept.
        except Exception as error:  # noqa: BLE001
            logger.error("apply %s is not ended yet, retrying: %s", self._apply, error)
            return False
        return True

    def _wait(self, seconds: float) -> None:
        if self._loader is None:
            time.sleep(seconds)
            return
        ready, _, _ = select.select([self._loader], [], [], seconds)
        if ready and not os.read(self._loader, 100):
            self._loader, self._loader_died = None, True

"""A worker in a process of its own beside another worker, for jobs that may take long.

It is forked from the other one, is started again when it has ended, and ends with it.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import time
from collections.abc import Callable

from dockerfw.worker.forked import die_with

logger = logging.getLogger("dockerfw.worker")

RESTART_SECONDS = 5.0
STOP_SECONDS = 2.0


class Companion:
    """Keeps one process running that calls `work`, which returns after SIGTERM."""

    def __init__(self, name: str, work: Callable[[], object]) -> None:
        self._name = name
        self._work = work
        self._pid = 0
        self._not_before = 0.0

    def check(self) -> None:
        """Start the process if it does not run. Never raises."""
        if self._pid and not self._has_ended():
            return
        if time.monotonic() < self._not_before:
            return
        self._not_before = time.monotonic() + RESTART_SECONDS
        try:
            self._pid = self._fork()
        except OSError as error:
            logger.error("the worker of %s could not start: %s", self._name, error)

    def stop(self) -> None:
        """End the process; a job of it is not waited for longer than a few seconds. Never raises."""
        deadline = time.monotonic() + STOP_SECONDS
        self._signal(signal.SIGTERM)
        while self._pid and not self._has_ended():
            if time.monotonic() > deadline:
                self._signal(signal.SIGKILL)
            time.sleep(0.02)

    def _fork(self) -> int:
        sys.stdout.flush()
        sys.stderr.flush()
        parent = os.getpid()
        pid = os.fork()
        if pid:
            return pid
        status = 1
        try:
            # Its jobs have process groups of their own, and it must not get the terminal's Ctrl-C twice.
            os.setpgid(0, 0)
            die_with(parent, signal.SIGTERM)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            self._work()
            status = 0
        except BaseException:
            logger.exception("the worker of %s failed", self._name)
        finally:
            with contextlib.suppress(Exception):
                logging.shutdown()
            os._exit(status)

    def _has_ended(self) -> bool:
        try:
            found, status = os.waitpid(self._pid, os.WNOHANG)
        except ChildProcessError:
            found, status = self._pid, 0
        if not found:
            return False
        logger.warning("the worker of %s ended with %d", self._name, os.waitstatus_to_exitcode(status))
        self._pid = 0
        return True

    def _signal(self, number: int) -> None:
        if self._pid:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(self._pid, number)

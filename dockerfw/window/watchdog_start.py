"""Starts the watchdog, and waits until it watches, before anything is loaded.

The watchdog outlives this process. It gets a session of its own, so that no signal for the job's process
group reaches it, and no descriptor but the two pipes. When this process dies in the middle of the load, the
pipe breaks and the watchdog restores the previous rules.
"""

from __future__ import annotations

import contextlib
import os
import select
import time

from dockerfw.host.background import BackgroundProcess, start_module
from dockerfw.host.errors import HostError
from dockerfw.host.files import LockHeld
from dockerfw.store.state import StateDirectory

MODULE = "dockerfw.window.watchdog_process"
READY_SECONDS = 15.0


class NoWatchdog(HostError):  # noqa: N818 - it states a fact
    """The watchdog did not report that it watches."""


class StartingWatchdog:
    """A watchdog that is starting: `arm` it when the window is on disk, and `release` it at the end."""

    def __init__(self, state: StateDirectory) -> None:
        """Start the process, which gets ready meanwhile. Raises OSError."""
        self._process = start_module(MODULE, str(state.path.absolute()), pipes=True)

    def arm(self, apply: str) -> None:
        """Wait until it watches the window of this apply. Raises NoWatchdog."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        try:
            stdin.write(f"{apply}\n".encode())
            stdin.flush()
        except OSError as error:
            raise NoWatchdog(f"the watchdog is gone: {error}") from None
        deadline = time.monotonic() + READY_SECONDS
        heard = b""
        while not heard.endswith(b"\n"):
            ready, _, _ = select.select([stdout], [], [], max(0.0, deadline - time.monotonic()))
            piece = os.read(stdout.fileno(), 100) if ready else b""
            if not piece:
                how = "ended" if ready else f"was not ready within {READY_SECONDS:g} s"
                raise NoWatchdog(f"the watchdog {how}")
            heard += piece
        if heard != b"watching\n":
            raise NoWatchdog(f"the watchdog reported {heard[:80]!r}")

    def release(self) -> None:
        """Tell it that the load is over. It exits by itself when there is no window."""
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()
        # A job exits now and leaves it to the system; a process that runs on reaps it later.
        self._process.poll()


def is_watchdog_alive(state: StateDirectory) -> bool:
    """Return True if a watchdog watches this state directory. Raises OSError."""
    try:
        with state.watchdog_lock():
            return False
    except LockHeld:
        return True


def start_another(state: StateDirectory, apply: str) -> BackgroundProcess:
    """Start a watchdog for a window whose first one was killed. Raises OSError."""
    return start_module(MODULE, str(state.path.absolute()), apply, pipes=False)

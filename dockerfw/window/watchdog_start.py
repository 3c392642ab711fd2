"""Starts the watchdog, and hears from it that it watches, before anything is loaded.

Owns the process that will outlive this one: it gets a session of its own, so that no signal for the job's
process group reaches it, and no descriptor but the two pipes. When this process dies in the middle of the
load the pipe breaks, and the watchdog puts back what was there.
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
    """The watchdog did not say that it watches."""


class Watch:
    """A watchdog that is starting: `arm` it when the window is on disk, and `let_go` of it in the end."""

    def __init__(self, state: StateDirectory) -> None:
        """Start it; it gets ready meanwhile. Raises OSError."""
        self._process = start_module(MODULE, str(state.path.absolute()), pipes=True)

    def arm(self, apply: str) -> None:
        """Return when it watches the window of this apply. Raises NoWatchdog."""
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
            raise NoWatchdog(f"the watchdog said {heard[:80]!r}")

    def let_go(self) -> None:
        """Tell it that the load is over. It ends by itself when there is no window."""
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()
        # The job ends now and leaves it to the system; in a process that goes on, it is reaped when it ends.
        self._process.poll()


def watchdog_lives(state: StateDirectory) -> bool:
    """Say whether some watchdog watches this state directory. Raises OSError."""
    try:
        with state.watchdog_lock():
            return False
    except LockHeld:
        return True


def start_again(state: StateDirectory, apply: str) -> BackgroundProcess:
    """Start a watchdog for a window whose own was ended by somebody. Raises OSError."""
    return start_module(MODULE, str(state.path.absolute()), apply, pipes=False)

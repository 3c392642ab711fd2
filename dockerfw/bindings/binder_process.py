"""The binder's process: `python -m dockerfw.bindings.binder_process STATE HOST [DOCKER_SOCKET]`.

It runs beside the root worker, whether or not Redis answers and an apply runs. The pipe on its standard input
breaks when the root worker ends, and then it ends too: the sets keep their members.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from pathlib import Path

from dockerfw.bindings.binder import Binder
from dockerfw.host.changes import HostChanges
from dockerfw.host.clock import boottime
from dockerfw.log_lines import log_to_stderr
from dockerfw.store.bootfiles import boot_apply
from dockerfw.store.state import StateDirectory

WHOLE_SECONDS = 60.0
RETRY_SECONDS = 5.0
POLL_SECONDS = 1.0
# docker-proxy starts a little after the interface, and its socket may come later still.
AFTER_SECONDS = (0.1, 0.5, 1.5, 4.0)
# In a storm of changes the looks take a fifth of the time, and more where a rest would be longer than this: a
# container that starts in it is reached within about a second. They never take more than half the time.
REST = 4.0
MOST_REST_SECONDS = 0.5


def main(arguments: list[str]) -> int:
    """Follow the host until no revision needs a set any more, or the root worker has ended."""
    os.umask(0o077)
    # A job ignores SIGTERM, and its children inherit that.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    log_to_stderr()
    state, host = StateDirectory(Path(arguments[0])), arguments[1]
    docker_socket = Path(arguments[2]) if len(arguments) > 2 else None
    binder = Binder(state, host=host, docker_socket=docker_socket)
    Follower(state, binder, HostChanges(docker_socket)).follow()
    return 0


class Follower:
    """Decides when the binder looks: after changes, after the end of a window, and once a minute."""

    def __init__(self, state: StateDirectory, binder: Binder, changes: HostChanges) -> None:
        self._state = state
        self._binder = binder
        self._changes = changes
        self._whole = 0.0
        self._looks: list[float] = []
        self._not_before = 0.0
        self._seen: object = None

    def follow(self) -> None:
        """Return when nothing is left to do."""
        # A boot may have created sets of lists empty, or an order was cut off.
        is_first = True
        while True:
            now = boottime()
            # After an apply, Keep and a rollback other sets are needed.
            if (seen := (self._state.has_window(), boot_apply(self._state.boot))) != self._seen:
                self._seen, self._whole = seen, now
            if now >= self._whole:
                if not self._look(whole=True):
                    return
                self._binder.restore_lists(tell=not is_first)
                is_first = False
            elif self._looks and now >= max(self._looks[0], self._not_before):
                self._look(whole=False)
            if self._changes.wait(self._pause(), 0):
                self._plan_looks()
            elif _is_abandoned():
                return

    def _look(self, *, whole: bool) -> bool:
        began = boottime()
        goes_on = self._binder.bind(whole=whole)
        now = boottime()
        self._looks = [at for at in self._looks if at > began]
        took = now - began
        self._not_before = now + min(REST * took, max(took, MOST_REST_SECONDS))
        if self._binder.has_problem:
            self._whole = now + RETRY_SECONDS
        elif whole:
            self._whole = now + (POLL_SECONDS if self._binder.is_hindered else WHOLE_SECONDS)
        return goes_on

    def _plan_looks(self) -> None:
        now = boottime()
        planned = [now + seconds for seconds in AFTER_SECONDS]
        # The first look of an earlier change is not put off.
        self._looks = [*self._looks[:1], *(at for at in planned if at > (self._looks or [0.0])[0])]

    def _pause(self) -> float:
        now = boottime()
        due = [self._whole, now + POLL_SECONDS]
        if self._looks:
            due.append(max(self._looks[0], self._not_before))
        return max(0.0, min(due) - now)


def _is_abandoned() -> bool:
    """Return True if the root worker has ended."""
    with contextlib.suppress(BlockingIOError):
        os.set_blocking(0, False)
        return os.read(0, 100) == b""
    return False


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

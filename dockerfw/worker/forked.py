"""A function call in a forked process with a time limit.

When the time is over, the process and all processes that it started are killed. It also dies with its parent.
"""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import select
import signal
import sys
import time
from collections.abc import Callable
from typing import NoReturn

logger = logging.getLogger("dockerfw.worker")

_LIBC = ctypes.CDLL(None)
_PR_SET_PDEATHSIG = 1


def run_forked(
    call: Callable[[], None], *, seconds: float, pause: float, meanwhile: Callable[[], float]
) -> int:
    """Call in a forked process, kill it after `seconds`, and return its status.

    The status is 0 when the call returned, 1 when it raised, and negative when a signal ended it. `meanwhile`
    is called after `pause` seconds, and then again after as many seconds as it returned. Raises OSError when
    the process cannot be forked.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        _be_the_job(call, parent)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.setpgid(pid, pid)
    try:
        _wait_for_job(pid, seconds, pause, meanwhile)
    finally:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status)


def _wait_for_job(pid: int, seconds: float, pause: float, meanwhile: Callable[[], float]) -> None:
    deadline = time.monotonic() + seconds
    descriptor = os.pidfd_open(pid)
    try:
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        while (left := deadline - time.monotonic()) > 0:
            if poll.poll(min(left, pause) * 1000):
                return
            pause = meanwhile()
        logger.error("killed the job's process %d: it was not done within %s s", pid, seconds)
    finally:
        os.close(descriptor)


def _be_the_job(call: Callable[[], None], parent: int) -> NoReturn:
    """Run `call` in the forked process and exit: status 0 when it returned, 1 when it raised."""
    status = 1
    try:
        os.setpgid(0, 0)
        _die_with(parent)
        # A stop signal is for the worker, which waits for its job: an apply must not stop halfway.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        call()
        status = 0
    except BaseException:
        logger.exception("the job failed")
    finally:
        with contextlib.suppress(Exception):
            logging.shutdown()
        os._exit(status)


def _die_with(parent: int) -> None:
    # A job whose worker was killed would have no time limit any more; the next worker cleans up after it.
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)

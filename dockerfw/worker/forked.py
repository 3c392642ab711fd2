"""A call in a process of its own, held to a time limit.

Owns the process's beginning and end: it is killed with all that it started when its time is over, and dies
with the one that forked it. It must not know about Redis, nor what is called.
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
    """Call in an own process, killed after `seconds`; its status, negative when a signal ended it.

    The status is 0 when the call returned and 1 when it raised. `meanwhile` is called after `pause` seconds,
    and then whenever as many have gone by as it returned. Raises OSError when there is no process to be had.
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
        logger.error("the job's process %d is killed: not done within %s s", pid, seconds)
    finally:
        os.close(descriptor)


def _be_the_job(call: Callable[[], None], parent: int) -> NoReturn:
    """Run `call` as the forked process and leave: status 0 when it returned, 1 when it raised."""
    status = 1
    try:
        os.setpgid(0, 0)
        _die_with(parent)
        # A stop is for the worker, which waits for its job: half an apply helps nobody.
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
    # Nobody would hold a job to its time limit whose worker was killed; the next one cleans up after it.
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)

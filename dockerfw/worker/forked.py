"""A function call in a forked process with a time limit.

When the time is over, the process and all processes that it started are killed. It also dies with its parent.
A call that gives way can be ended before, except in the parts that are `uninterrupted`.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import logging
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Iterator
from typing import NoReturn

logger = logging.getLogger("dockerfw.worker")

_LIBC = ctypes.CDLL(None)
_PR_SET_PDEATHSIG = 1
_ENDING_SECONDS = 0.1
# How many values a job makes until Python looks for unused ones that refer to each other. An apply makes
# none, and with Python's own 700 that took a fifth of the time in which it compiles its rules.
_COLLECTED_EVERY = 100_000
GAVE_WAY = -signal.SIGTERM
"""The status of a call that was ended by `meanwhile`."""


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Put off the end of a call that has to give way until the block is left."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def run_forked(
    call: Callable[[], None],
    *,
    seconds: float,
    pause: float,
    meanwhile: Callable[[], float | None],
    yields: bool = False,
) -> int:
    """Call in a forked process, kill it after `seconds`, and return its status.

    The status is 0 when the call returned, 1 when it raised, and negative when a signal ended it. `meanwhile`
    is called after `pause` seconds, and then again after as many seconds as it returned. None ends a call
    that `yields`; its status is then GAVE_WAY. Raises OSError when the process cannot be forked.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        _be_the_job(call, parent, yields=yields)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.setpgid(pid, pid)
    try:
        _wait_for_job(pid, seconds, pause, meanwhile)
    finally:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status)


def _wait_for_job(pid: int, seconds: float, pause: float, meanwhile: Callable[[], float | None]) -> None:
    deadline = time.monotonic() + seconds
    descriptor = os.pidfd_open(pid)
    try:
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        while (left := deadline - time.monotonic()) > 0:
            if poll.poll(min(left, pause) * 1000):
                return
            wanted = meanwhile()
            if wanted is None:
                signal.pidfd_send_signal(descriptor, signal.SIGTERM)
                wanted = _ENDING_SECONDS
            pause = wanted
        logger.error("killed the job's process %d: it was not done within %s s", pid, seconds)
    finally:
        os.close(descriptor)


def _be_the_job(call: Callable[[], None], parent: int, *, yields: bool) -> NoReturn:
    """Run `call` in the forked process and exit: status 0 when it returned, 1 when it raised."""
    status = 1
    try:
        os.setpgid(0, 0)
        die_with(parent, signal.SIGKILL)
        # A stop signal is for the worker, which waits for its job: an apply must not stop halfway.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_DFL if yields else signal.SIG_IGN)
        # What the parent has is shared with it, and looking through it would copy it.
        gc.freeze()
        gc.set_threshold(_COLLECTED_EVERY)
        call()
        status = 0
    except BaseException:
        logger.exception("the job failed")
    finally:
        with contextlib.suppress(Exception):
            logging.shutdown()
        os._exit(status)


def die_with(parent: int, number: int) -> None:
    """Have this process get a signal when its parent ends; end at once if it has ended already."""
    # A job whose worker was killed would have no time limit any more; the next worker cleans up after it.
    _LIBC.prctl(_PR_SET_PDEATHSIG, number)
    if os.getppid() != parent:
        os._exit(1)

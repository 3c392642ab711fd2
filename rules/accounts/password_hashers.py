"""The hashing of passwords at low priority, so that a flood of sign-ins leaves the pages their time."""

from __future__ import annotations

import contextlib
import functools
import os
import threading
from concurrent.futures import ThreadPoolExecutor

from django.contrib.auth.hashers import PBKDF2PasswordHasher

# A thread with it gets a third of the time of one without, where both want to run. (On Linux each thread has
# its own.)
NICENESS = 5
THREADS = 2


class LowPriorityHasher(PBKDF2PasswordHasher):
    """Django's hasher of the same name and iterations, in threads that stand back.

    The thread of the request only waits: it must not hold Python's lock while it has a low priority.
    """

    def encode(self, password: str, salt: str, iterations: int | None = None) -> str:
        """Return the hash of a password."""
        encode = super().encode
        return _threads(os.getpid()).submit(lambda: encode(password, salt, iterations)).result()


@functools.cache
def _threads(_process: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(THREADS, thread_name_prefix="hashing", initializer=_stand_back)


def _stand_back() -> None:
    # Where a sandbox forbids it, passwords are checked all the same.
    with contextlib.suppress(OSError):
        # Going back from a higher niceness needs a right that this process lacks.
        niceness = max(os.getpriority(os.PRIO_PROCESS, 0), NICENESS)
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), niceness)

"""The lock that each dashboard process shares while it runs, because it uses the database.

Restoring a backup takes the lock exclusively, which fails while such a process runs. A process that starts
during a restore waits until it ends.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

NAME = "in-use.lock"


class InUse(Exception):  # noqa: N818 - it states a fact
    """Another process uses the database."""


def take_part(folder: Path) -> None:
    """Share the lock until this process ends; without the folder there is no lock."""
    with contextlib.suppress(OSError):
        fcntl.flock(_open(folder), fcntl.LOCK_SH)


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Hold the lock exclusively for the block. Raises InUse and OSError."""
    descriptor = _open(folder)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InUse(f"another process holds {folder / NAME}") from None
        yield
    finally:
        os.close(descriptor)


def _open(folder: Path) -> int:
    return os.open(folder / NAME, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)

"""Who uses the database: a lock that each process of the web side holds for as long as it lives.

Owns the lock and nothing else. Restoring a backup takes it alone, and so notices whoever is still at work; a
process that starts meanwhile waits until that is done.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

NAME = "in-use.lock"


class InUse(Exception):  # noqa: N818 - it states a fact
    """Somebody uses the database."""


def take_part(folder: Path) -> None:
    """Hold the lock together with the others until this process ends; without a folder there is none."""
    with contextlib.suppress(OSError):
        fcntl.flock(_open(folder), fcntl.LOCK_SH)


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Hold the lock without anybody else. Raises InUse and OSError."""
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

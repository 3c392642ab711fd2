"""Ask a file system how much room it has left, and say so when it has none; it judges nothing."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from dockerfw.messages.space import Space


def describe_write_failure(path: Path, error: BaseException) -> str:
    """Say that nothing can be written to a folder's file system; empty when an error is not about that."""
    number = error.errno if isinstance(error, OSError) else None
    if number in (errno.ENOSPC, errno.EDQUOT):
        return f"The file system of {path} is full ({os.strerror(number)}). Make room there, then try again"
    if number == errno.EROFS:
        return f"The file system of {path} is read-only. Make it writable, then try again"
    return ""


def space_of(path: Path) -> Space:
    """Return what the file system of a folder has left for an ordinary user. Raises OSError."""
    found = os.statvfs(path)
    return Space(
        free=found.f_bavail * found.f_frsize,
        total=found.f_blocks * found.f_frsize,
        # btrfs and the like have no table of files to run out of, and tell 0 of 0.
        files=found.f_favail if found.f_files else None,
        read_only=bool(found.f_flag & os.ST_RDONLY),
    )

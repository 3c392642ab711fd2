"""The free space of a file system, and the sentence for an admin when a file system cannot be written."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from dockerfw.host import sentences
from dockerfw.messages.space import Space


def describe_write_failure(path: Path, error: BaseException) -> str:
    """Return why nothing can be written to a folder's file system, empty if the error has another cause."""
    number = error.errno if isinstance(error, OSError) else None
    if number in (errno.ENOSPC, errno.EDQUOT):
        return sentences.DISK_FULL.format(path=path, why=os.strerror(number))
    if number == errno.EROFS:
        return sentences.DISK_READ_ONLY.format(path=path)
    return ""


def space_of(path: Path) -> Space:
    """Return the space that the file system of a folder has left for ordinary users. Raises OSError."""
    found = os.statvfs(path)
    return Space(
        free=found.f_bavail * found.f_frsize,
        total=found.f_blocks * found.f_frsize,
        # btrfs and others have no fixed number of files, and report 0 of 0.
        files=found.f_favail if found.f_files else None,
        read_only=bool(found.f_flag & os.ST_RDONLY),
    )

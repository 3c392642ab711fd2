"""Ask a file system how much room it has left. Owns one call of the kernel's; it judges nothing."""

from __future__ import annotations

import os
from pathlib import Path

from rules.doctor.space import Space


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

"""Find the files that a machine has changed in its tree, by reading the upper folder of its overlay.

A file that is the same in both layers was only touched, and does not count.
"""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path


def changed_files(lower: Path, upper: Path) -> dict[str, str]:
    """Return each path that differs from the lower folder's, with what it is now."""
    found = {}
    for where, folders, files in os.walk(upper):
        for name in (*folders, *files):
            path = Path(where, name)
            inside = path.relative_to(upper)
            now = _describe(path)
            if now != _describe(lower / inside):
                found[f"/{inside}"] = now
    return found


def _describe(path: Path) -> str:
    try:
        status = path.lstat()
    except OSError:
        return "gone"
    if stat.S_ISCHR(status.st_mode) and status.st_rdev == 0:
        # So an overlay marks what was removed.
        return "gone"
    said = f"{stat.filemode(status.st_mode)} {status.st_uid}:{status.st_gid}"
    if path.is_symlink():
        return f"{said} -> {os.readlink(path)}"
    if stat.S_ISREG(status.st_mode):
        return f"{said} {hashlib.sha256(path.read_bytes()).hexdigest()[:16]}"
    return said

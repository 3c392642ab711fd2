"""The temporary folders of rehearsals, and the removal of those that killed rehearsals left.

A folder's name contains the id of its process. Folders of other users and of running processes stay, and so
does any file that is not a rehearsal's.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import stat
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from dockerfw.iptables.model import Family

logger = logging.getLogger("dockerfw.scratch")

LOCK_FILE = "xtables.lock"
# The sets that each family's text names.
SETS_FILES: Mapping[Family, str] = {4: "sets4", 6: "sets6"}
_PREFIX = "dockerfw-rehearsal-"
_NAME = re.compile(rf"{_PREFIX}([0-9]+)-[a-z0-9_]+", re.ASCII)


@contextlib.contextmanager
def scratch_folder() -> Iterator[Path]:
    """Create a folder for one rehearsal and remove it after the `with` block. Raises OSError."""
    with tempfile.TemporaryDirectory(prefix=f"{_PREFIX}{os.getpid()}-") as directory:
        yield Path(directory)


def remove_leftovers() -> int:
    """Remove the folders of this user's rehearsals whose process is gone; return how many. Never raises."""
    removed = 0
    with contextlib.suppress(OSError), os.scandir(tempfile.gettempdir()) as entries:
        for entry in entries:
            found = _NAME.fullmatch(entry.name)
            if found and not Path("/proc", found[1]).exists():
                # Another user may use such a name, and other programs write to this directory as well.
                with contextlib.suppress(OSError):
                    removed += _remove_folder(entry)
    if removed:
        logger.info("removed %d folder(s) of killed rehearsals", removed)
    return removed


def _remove_folder(entry: os.DirEntry[str]) -> bool:
    status = entry.stat(follow_symlinks=False)
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
        return False
    for name in (LOCK_FILE, *SETS_FILES.values()):
        Path(entry.path, name).unlink(missing_ok=True)
    os.rmdir(entry.path)
    return True

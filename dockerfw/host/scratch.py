"""The folders that rehearsals work in, and what is left of them when a rehearsal was killed.

Owns their names, which carry the id of the process that made them. It removes nothing that another user or a
living process may own, and nothing but what a rehearsal puts there.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

logger = logging.getLogger("dockerfw.scratch")

LOCK_FILE = "xtables.lock"
_PREFIX = "dockerfw-rehearsal-"
_NAME = re.compile(rf"{_PREFIX}([0-9]+)-[a-z0-9_]+", re.ASCII)


@contextlib.contextmanager
def scratch_folder() -> Iterator[Path]:
    """Make a folder for one rehearsal, which is gone after the `with` block. Raises OSError."""
    with tempfile.TemporaryDirectory(prefix=f"{_PREFIX}{os.getpid()}-") as directory:
        yield Path(directory)


def remove_leftovers() -> int:
    """Remove the folders of this user's rehearsals whose process is gone; return how many. Never raises."""
    removed = 0
    with contextlib.suppress(OSError), os.scandir(tempfile.gettempdir()) as entries:
        for entry in entries:
            found = _NAME.fullmatch(entry.name)
            if found and not Path("/proc", found[1]).exists():
                # Somebody else may use such a name, and others write to that directory as well.
                with contextlib.suppress(OSError):
                    removed += _removed(entry)
    if removed:
        logger.info("%d folder(s) that killed rehearsals had left were removed", removed)
    return removed


def _removed(entry: os.DirEntry[str]) -> bool:
    status = entry.stat(follow_symlinks=False)
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
        return False
    Path(entry.path, LOCK_FILE).unlink(missing_ok=True)
    os.rmdir(entry.path)
    return True

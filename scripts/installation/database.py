"""A copy of the database beside it, for an upgrade whose migration fails: `python -m ... copy|back|forget`.

Runs as the user of the pages, while nobody has the database open. Only SQLite's can be copied as a file;
another one is left alone, and takes back what a failing migration did as far as that database does.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import django

SUFFIX = ".before-upgrade"
# What of a database is not in its own file yet.
BESIDE = ("-wal", "-shm", "-journal")


def main(step: str) -> int:
    """Do one step; 0 also when there is nothing to do."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "dockerfw_site.settings")
    django.setup()
    from django.db import connection

    if connection.vendor != "sqlite":
        return 0
    path = Path(connection.settings_dict["NAME"])
    for name in ("", *BESIDE):
        _step(step, Path(f"{path}{name}"), Path(f"{path}{SUFFIX}{name}"))
    return 0


def _step(step: str, file: Path, copy: Path) -> None:
    if step == "back":
        # What a failed migration has left beside the file is of no use to the one from before.
        file.unlink(missing_ok=True)
        if copy.exists():
            copy.replace(file)
        return
    copy.unlink(missing_ok=True)
    if step == "copy" and file.exists():
        shutil.copy2(file, copy)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

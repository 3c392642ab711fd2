"""Copy the database for an upgrade whose migration fails: `python -m ... copy|back|forget`.

It runs as the user of the web pages while no process has the database open. Only a SQLite database can be
copied as a file. Another database undoes a failed migration itself, as far as it can.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import django

SUFFIX = ".before-upgrade"
# Files with changes that are not in the database's own file yet.
BESIDE = ("-wal", "-shm", "-journal")


def main(step: str) -> int:
    """Run one step; 0 also when there is nothing to do."""
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
        # Files of the failed migration do not belong to the copy.
        file.unlink(missing_ok=True)
        if copy.exists():
            copy.replace(file)
        return
    copy.unlink(missing_ok=True)
    if step == "copy" and file.exists():
        shutil.copy2(file, copy)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

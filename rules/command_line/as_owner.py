"""Do something as the ordinary user who owns a file, when this process is root.

SQLite leaves files beside a database that belong to whoever opened it: root must never be that.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rules.backup.owners_process import OwnerFailed, OwnersProcess


class NotTheOwner(Exception):  # noqa: N818 - it states a fact
    """The owner of the file could not be asked; the text says why."""


def as_owner(path: Path, call: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return what `call` returns, which has to be JSON; root calls it in a child that is the file's owner.

    Where the folder is an ordinary user's, that user counts as the owner: what lies in it may be a link to a
    file of root's. Raises NotTheOwner, and OSError when nobody may look at the file.
    """
    owner, folder = path.lstat(), path.parent.stat()
    if os.geteuid() == 0 and folder.st_uid != 0:
        owner = folder
    if owner.st_uid == os.geteuid():
        return call()
    if os.geteuid() != 0:
        raise NotTheOwner("only its owner, or root, can ask the database")
    try:
        with OwnersProcess(owner, lambda _: call()) as process:
            return process.hear()
    except OwnerFailed as error:
        raise NotTheOwner(str(error)) from error

"""Use a file as the ordinary user who owns it, when this process is root: for one function, or from now on.

SQLite creates files beside a database, owned by the user who opened it. Root must never be that user.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rules.backup.owners_process import OwnerFailed, OwnersProcess, become


class NotTheOwner(Exception):  # noqa: N818 - it states a fact
    """The function could not be called as the file's owner; the text gives the reason."""


def as_owner(path: Path, call: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return the JSON values that `call` returns; root calls it in a child process of the file's owner.

    If the folder belongs to an ordinary user, that user counts as the owner, because the file may be a link
    to one of root's. Raises NotTheOwner, and OSError when this process may not see the file.
    """
    owner = _owner(path)
    if owner.st_uid == os.geteuid():
        return call()
    if os.geteuid() != 0:
        raise NotTheOwner("only its owner or root can read the database")
    try:
        with OwnersProcess(owner, lambda _: call()) as process:
            return process.hear()
    except OwnerFailed as error:
        raise NotTheOwner(str(error)) from error


def become_owner(path: Path) -> None:
    """Let root become the owner of a file, or of its folder, for the rest of this process.

    The audit log still names the admin. Raises OSError when there is no such file or folder.
    """
    if os.geteuid() != 0:
        return
    os.environ["LOGNAME"] = os.environ.get("SUDO_USER") or os.environ.get("LOGNAME") or "root"
    become(_owner(path))


def _owner(path: Path) -> os.stat_result:
    owner, folder = path.lstat(), path.parent.stat()
    return folder if os.geteuid() == 0 and folder.st_uid != 0 else owner

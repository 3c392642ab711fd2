"""Who owns the folders of a run that root started, so that nobody can lay a trap in one for root.

Root's folders and files lie in folders that only root can change; what web, clerk and Redis write lies in
folders of their user's, where root follows no link, opens no file and gives away nothing but what lies there.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import stat
from dataclasses import dataclass
from pathlib import Path

from scripts.stack.errors import StackError


@dataclass(frozen=True, slots=True)
class WebUser:
    """The ordinary user that web, clerk and Redis run as when root started the run."""

    uid: int
    gid: int
    name: str


def check_roots_own(folder: Path) -> None:
    """Raise StackError when anybody but root could change this folder, or put another in its place.

    A folder that is not there yet is as good as its parents.
    """
    for place in (folder, *folder.parents):
        try:
            found = place.lstat()
        except FileNotFoundError:
            continue
        if found.st_uid != 0:
            raise StackError(_not_roots(folder, place, f"belongs to {_name(found.st_uid)}"))
        if not stat.S_ISDIR(found.st_mode):
            raise StackError(_not_roots(folder, place, "is no folder"))
        if found.st_mode & 0o022:
            raise StackError(_not_roots(folder, place, "can be written by others"))


def check_own(folder: Path) -> None:
    """Raise StackError when somebody else owns this folder or can write to it."""
    found = folder.lstat()
    if found.st_uid != os.geteuid() or not stat.S_ISDIR(found.st_mode) or found.st_mode & 0o022:
        raise StackError(
            f"cannot use {folder}: it belongs to {_name(found.st_uid)}, or others can write to it. Run as"
            " that user, or choose another folder with DOCKERFW_DATA_DIR."
        )


def hand_over(folder: Path, user: WebUser, *, mode: int) -> None:
    """Give a folder that lies in one of root's own, and the files in it, to the user."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        if os.fstat(descriptor).st_uid != user.uid:
            for name in os.listdir(descriptor):
                found = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
                # A file of another name elsewhere would be given away there too.
                if stat.S_ISDIR(found.st_mode) or found.st_nlink == 1:
                    os.chown(name, user.uid, user.gid, dir_fd=descriptor, follow_symlinks=False)
        os.fchmod(descriptor, mode)
        os.fchown(descriptor, user.uid, user.gid)
    finally:
        os.close(descriptor)


def write_for(user: WebUser | None, path: Path, text: str) -> None:
    """Write a new file that only this user, or without one whoever runs this, can read."""
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        if user is not None:
            os.fchown(file.fileno(), user.uid, user.gid)


def _not_roots(folder: Path, place: Path, why: str) -> str:
    return (
        f"the root worker's folder {folder} has to be root's alone, and {place} {why}. "
        "Choose another with DOCKERFW_STATE_DIR."
    )


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"the user {uid}"

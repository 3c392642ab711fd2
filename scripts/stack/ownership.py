"""The ownership of folders in a run that root started, so that no other user can trick root through one.

Root's folders and files are in folders that only root can change. Web, clerk and Redis write in folders of
their own user. There root follows no link, opens no file, and changes the owner of nothing outside.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import stat
from dataclasses import dataclass
from pathlib import Path

from dockerfw.doctor.permissions import judge_code
from dockerfw.doctor.permissions_facts import code_places
from scripts.stack.errors import StackError


@dataclass(frozen=True, slots=True)
class WebUser:
    """The ordinary user that web, clerk and Redis run as when root started the run."""

    uid: int
    gid: int
    name: str


def check_roots_own(folder: Path, variable: str) -> None:
    """Raise StackError if a user other than root could change or replace this folder.

    For a folder that does not exist yet, its parents decide. `variable` is the setting that chooses another.
    """
    for place in (folder, *folder.parents):
        try:
            found = place.lstat()
        except FileNotFoundError:
            continue
        if found.st_uid != 0:
            raise StackError(_not_roots(folder, place, f"belongs to {_name(found.st_uid)}", variable))
        if not stat.S_ISDIR(found.st_mode):
            raise StackError(_not_roots(folder, place, "is not a folder", variable))
        if found.st_mode & 0o022:
            raise StackError(_not_roots(folder, place, "can be written by others", variable))


def check_code(code: Path) -> None:
    """Raise StackError if a user other than root could change what root runs: code, packages, interpreter."""
    finding = judge_code(code_places(code))
    if finding.level != "ok":
        raise StackError(f"{finding.text} Start with sudo scripts/run --host, which runs a copy of the code.")


def check_own(folder: Path) -> None:
    """Raise StackError if another user owns this folder or can write to it."""
    found = folder.lstat()
    if found.st_uid != os.geteuid() or not stat.S_ISDIR(found.st_mode) or found.st_mode & 0o022:
        raise StackError(
            f"cannot use {folder}: it belongs to {_name(found.st_uid)}, or others can write to it. Run as"
            " that user, or choose another folder with DOCKERFW_DATA_DIR."
        )


def hand_over(folder: Path, user: WebUser, *, mode: int) -> None:
    """Change the owner of a folder inside one of root's, and of the files in it, to the user."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        if os.fstat(descriptor).st_uid != user.uid:
            for name in os.listdir(descriptor):
                found = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
                # A file with a second name elsewhere would change its owner there too.
                if stat.S_ISDIR(found.st_mode) or found.st_nlink == 1:
                    os.chown(name, user.uid, user.gid, dir_fd=descriptor, follow_symlinks=False)
        os.fchmod(descriptor, mode)
        os.fchown(descriptor, user.uid, user.gid)
    finally:
        os.close(descriptor)


def write_for(user: WebUser | None, path: Path, text: str) -> None:
    """Write a new file that only this user can read; for None, the user of this process."""
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        if user is not None:
            os.fchown(file.fileno(), user.uid, user.gid)


def _not_roots(folder: Path, place: Path, why: str, variable: str) -> str:
    return (
        f"with --host the folder {folder} must belong to root alone, but {place} {why}. Choose another one"
        f" with {variable}."
    )


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"the user {uid}"

"""Write and restore files, exchange two folders, change owners, and remove files."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

_AT_FDCWD = -100
# linux/fs.h
_RENAME_EXCHANGE = 2


@dataclass(frozen=True, slots=True)
class Former:
    """The former state of a file; `content` is None when it did not exist."""

    path: Path
    content: bytes | None
    mode: int = 0
    uid: int = 0
    gid: int = 0

    def restore(self) -> None:
        """Restore the file. Raises OSError."""
        if self.content is None:
            self.path.unlink(missing_ok=True)
        else:
            write(self.path, self.content, mode=self.mode, uid=self.uid, gid=self.gid)


def remember(paths: Iterable[Path]) -> list[Former]:
    """Return the present state of files. Raises OSError."""
    return [_former(path) for path in paths]


def write(path: Path, content: bytes, *, mode: int = 0o644, uid: int = 0, gid: int = 0) -> None:
    """Write a file atomically, in a folder that only root can change. Raises OSError."""
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.draft")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        os.fchown(file.fileno(), uid, gid)
        os.fchmod(file.fileno(), mode)
        os.fsync(file.fileno())
    draft.replace(path)


def exchange(one: Path, other: Path) -> None:
    """Exchange two folders atomically with renameat2(2). Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.renameat2(_AT_FDCWD, bytes(one), _AT_FDCWD, bytes(other), _RENAME_EXCHANGE) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(one))


def give(folder: Path, uid: int, gid: int) -> None:
    """Change the owner of a folder of root's and of everything in it; follow no link. Raises OSError."""
    for where, folders, files in os.walk(folder, topdown=False):
        for name in (*folders, *files):
            os.chown(os.path.join(where, name), uid, gid, follow_symlinks=False)
    os.chown(folder, uid, gid)


def remove(path: Path) -> bool:
    """Remove a file, or a folder with its contents; False when it did not exist. Raises OSError."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
        return True
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
        return True
    return False


def _former(path: Path) -> Former:
    try:
        content, found = path.read_bytes(), path.stat()
    except FileNotFoundError:
        return Former(path, None)
    return Former(path, content, found.st_mode & 0o7777, found.st_uid, found.st_gid)

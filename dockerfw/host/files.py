"""Durable writing, bounded reading and locking of files.

A file is written as a temporary file, synced and renamed, and its directory synced: it is whole or absent,
also after a power cut. What the files contain is up to `dockerfw.store`.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from dockerfw.host import sentences
from dockerfw.host.errors import HostError

MAX_FILE_BYTES = 128 * 1024 * 1024


class LockHeld(HostError):  # noqa: N818 - it states a fact
    """Another process holds the lock."""


def write_durably(path: Path, content: bytes, *, mode: int = 0o600) -> None:
    """Replace a whole file; when this returns, it survives a power cut. Raises OSError."""
    write_all_durably({path: (content, mode)})


def write_all_durably(files: Mapping[Path, tuple[bytes, int]]) -> None:
    """Replace several files, after all of them have been written. Raises OSError."""
    drafts: list[tuple[str, Path]] = []
    try:
        for path, (content, mode) in files.items():
            drafts.append((_write_draft(path, content, mode), path))
        while drafts:
            draft, path = drafts[0]
            os.replace(draft, path)
            drafts.pop(0)
    finally:
        for draft, _ in drafts:
            with contextlib.suppress(OSError):
                os.unlink(draft)
    for directory in {path.parent for path in files}:
        sync_directory(directory)


def read_bounded(path: Path, *, most: int = MAX_FILE_BYTES) -> bytes | None:
    """Return the content of a file, None if there is none. Raises OSError, also above `most` bytes."""
    try:
        with path.open("rb") as file:
            content = file.read(most + 1)
    except FileNotFoundError:
        return None
    if len(content) > most:
        raise OSError(f"{path} has more than {most} bytes")
    return content


def remove_durably(path: Path) -> None:
    """Remove a file if it exists. Raises OSError."""
    path.unlink(missing_ok=True)
    sync_directory(path.parent)


def link_durably(path: Path, target: str) -> None:
    """Point a symbolic link to `target`, in one step. Raises OSError."""
    draft = path.with_name(f".{path.name}.new")
    draft.unlink(missing_ok=True)
    draft.symlink_to(target)
    os.replace(draft, path)
    sync_directory(path.parent)


def make_directory(path: Path) -> None:
    """Create a directory that only root may open, if it does not exist. Raises OSError."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)


def sync_directory(path: Path) -> None:
    """Sync a directory, so that the names in it survive a power cut. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def locked(path: Path, *, seconds: float) -> Iterator[int]:
    """Hold a lock file for a `with` block; wait for it up to `seconds`. Yields the file's descriptor.

    The lock is released when the last process that inherited the descriptor has closed it. Raises LockHeld
    and OSError.
    """
    descriptor = _open_lock(path)
    try:
        _take_lock(descriptor, path, time.monotonic() + seconds)
        yield descriptor
    finally:
        os.close(descriptor)


def lock_holders(path: Path) -> list[int]:
    """Return the ids of the other processes that hold a lock file, including those that inherited it."""
    target = os.stat(path)
    holders = []
    for process in Path("/proc").iterdir():
        if process.name.isdigit() and process.name != str(os.getpid()):
            # It may have ended, or belong to another user.
            with contextlib.suppress(OSError):
                if _holds_lock(process, target):
                    holders.append(int(process.name))
    return holders


def _holds_lock(process: Path, target: os.stat_result) -> bool:
    for descriptor in (process / "fd").iterdir():
        with contextlib.suppress(OSError):
            found = descriptor.stat()
            if (found.st_dev, found.st_ino) != (target.st_dev, target.st_ino):
                continue
            if "FLOCK" in (process / "fdinfo" / descriptor.name).read_text():
                return True
    return False


def _open_lock(path: Path) -> int:
    try:
        # Opening for reading is enough for flock(2), and works on a read-only file system.
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return os.open(path, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _take_lock(descriptor: int, path: Path, deadline: float) -> None:
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise LockHeld(sentences.LOCK_HELD.format(path=path)) from None
            time.sleep(0.02)
        else:
            return


def _write_draft(path: Path, content: bytes, mode: int) -> str:
    descriptor, draft = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(draft)
        raise
    return draft

"""The settings files in a backup: which files belong to it, what they may contain, and how they are restored.

The content of a settings file becomes the environment of root's processes, so a file with any other variable
than dockerfw's own is refused.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from rules.backup.archive import BackupError

FOLDER = "settings/"
REDIS_USERS = "users.acl"
REDIS_ACCOUNT = "dockerfw-redis"
MOST_BYTES = 1024 * 1024
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,60}\.env", re.ASCII)
_VARIABLE = re.compile(r"(?:DOCKERFW_(?!HOOK_|TEST_)[A-Z_]{1,60}|DATABASE_URL(?:_FILE)?)=[^\0]*")
_USER = re.compile(r"user (?:default|[a-z0-9][a-z0-9-]{0,60}) [\x20-\x7e]*", re.ASCII)


def settings_take(folder: Path) -> dict[str, bytes]:
    """Return the settings files of a folder as members of a backup. Raises OSError."""
    if not folder.is_dir():
        return {}
    names = sorted(path.name for path in folder.iterdir() if _NAME.fullmatch(path.name))
    found = {}
    for name in [*names, REDIS_USERS]:
        path = folder / name
        if path.is_file() and not path.is_symlink():
            content = path.read_bytes()
            if len(content) <= MOST_BYTES:
                found[f"{FOLDER}{name}"] = content
    return found


def settings_check(members: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return the settings files among the members by name, after checking each line. Raises BackupError."""
    found = {}
    for member, content in members.items():
        if not member.startswith(FOLDER):
            continue
        name = member.removeprefix(FOLDER)
        if name != REDIS_USERS and not _NAME.fullmatch(name):
            raise BackupError(f"{member} is not a settings file of dockerfw")
        _check_lines(member, content, _USER if name == REDIS_USERS else _VARIABLE)
        found[name] = content
    return found


def _check_lines(member: str, content: bytes, known: re.Pattern[str]) -> None:
    try:
        lines = content.decode().split("\n")
    except UnicodeDecodeError:
        raise BackupError(f"{member} is not text") from None
    for number, line in enumerate(lines, 1):
        # systemd joins a line that ends with a backslash with the next line.
        if line.endswith("\\"):
            raise BackupError(
                f"{member} line {number} continues on the next line, which dockerfw does not write"
            )
        text = line.strip()
        if text and not text.startswith(("#", ";")) and not known.fullmatch(text):
            name = text.partition("=")[0][:60]
            raise BackupError(
                f"{member} line {number} ({name!r}) is not a setting of dockerfw. Restore with "
                "--without-settings, then set it by hand"
            )


@contextlib.contextmanager
def settings_put(files: Mapping[str, bytes], folder: Path, aside: str) -> Iterator[list[str]]:
    """Write settings files, keep the former ones as NAME.`aside`, and undo that if the block fails.

    Yields the names that changed. Raises OSError.
    """
    changed: list[str] = []
    undo: list[tuple[Path, Path | None]] = []
    try:
        for name, content in files.items():
            path = folder / name
            former = path.read_bytes() if path.exists() else None
            if former == content:
                continue
            kept = None if former is None else path.with_name(f"{name}.{aside}")
            if kept is not None:
                os.link(path, kept)
            undo.append((path, kept))
            _write(path, content)
            changed.append(name)
        yield changed
    except BaseException:
        for path, kept in reversed(undo):
            if kept is None:
                path.unlink(missing_ok=True)
            elif path.samefile(kept):
                # rename(2) does nothing with two names of one file.
                kept.unlink()
            else:
                os.replace(kept, path)
        if undo:
            _sync(folder)
        raise


def _write(path: Path, content: bytes) -> None:
    draft = path.with_name(f".{path.name}.new")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        owner = path.stat() if path.exists() else path.parent.stat()
        uid, gid = owner.st_uid, owner.st_gid
        if not path.exists() and path.name == REDIS_USERS:
            with contextlib.suppress(KeyError):
                account = pwd.getpwnam(REDIS_ACCOUNT)
                uid, gid = account.pw_uid, account.pw_gid
        if os.geteuid() == 0:
            os.fchown(descriptor, uid, gid)
        file.write(content)
        file.flush()
        os.fsync(descriptor)
    os.replace(draft, path)
    _sync(path.parent)


def _sync(folder: Path) -> None:
    """Make the names in a folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

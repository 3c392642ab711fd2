"""The verb `backup`: write a consistent copy of the whole running installation to one file.

This process reads the root worker's state. A second process reads the database as its owner.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from django.db import DatabaseError

from dockerfw.document.words import describe_count
from dockerfw.host.clock import utc_now
from dockerfw.host.errors import HostError
from dockerfw.host.files import sync_directory
from dockerfw.store.backup import state_mark, state_take
from dockerfw.store.interrupted import RestoreUnfinished
from dockerfw.store.sentences import RESTORE_AGAIN
from dockerfw.store.state import StateDirectory
from dockerfw.streams import InputError, Output
from dockerfw.version import VERSION
from dockerfw_site.environment import Environment, read_environment
from rules.backup.archive import (
    DATABASE,
    SECRET_KEY,
    BackupError,
    Manifest,
    beside,
    read_archive,
    write_archive,
)
from rules.backup.dump import database_dump
from rules.backup.owners_process import OwnerFailed, OwnersProcess
from rules.backup.settings_files import settings_check, settings_take
from rules.pages.errors import ServiceError

TRIES = 5
ONLY_DATABASE = (
    "This backup holds only the database and the secret key. To include the settings and the root worker's "
    "state, run it as root."
)


def backup(options: argparse.Namespace, output: Output) -> int:
    """Write a backup to a file, or to standard output for `-`."""
    environment = read_environment()
    whole = may_have_all(environment)
    try:
        with tempfile.TemporaryFile(dir=beside(options.file)) as rows:
            facts, members = _take(environment, rows, whole=whole)
            parts = ("database", "settings", "state") if whole else ("database",)
            manifest = Manifest(VERSION, utc_now(), environment.host, facts, parts)
            if options.file == "-":
                if sys.stdout.isatty():
                    raise BackupError("a backup cannot go to a terminal. Name a file, or use a pipe")
                write_archive(sys.stdout.buffer, manifest, rows, members)
                sys.stdout.buffer.flush()
            else:
                with _new_file(Path(options.file)) as file:
                    write_archive(file, manifest, rows, members)
                    file.seek(0)
                    # Check that the backup can be read back.
                    read_archive(file, options.file, room=beside(options.file)).rows.close()
    except RestoreUnfinished as error:
        again = RESTORE_AGAIN.format(command=environment.command)
        raise InputError(f"no backup was made: {error} {again}") from error
    except (BackupError, OwnerFailed, HostError, ServiceError, DatabaseError, OSError) as error:
        raise InputError(f"no backup was made: {error}") from error
    _tell(options, output, manifest, members)
    return 0


def may_have_all(environment: Environment) -> bool:
    """Return True if this process may read and write the root worker's state, not only the database."""
    try:
        return os.geteuid() == 0 or os.geteuid() == environment.state_dir.stat().st_uid
    except OSError:
        return False


def _take(
    environment: Environment, rows: IO[bytes], *, whole: bool
) -> tuple[dict[str, Any], dict[str, bytes]]:
    key = {SECRET_KEY: environment.secret_key.encode()} if environment.secret_key else {}
    if not whole:
        return _take_database(environment, rows), key
    state = StateDirectory(environment.state_dir)
    for _ in range(TRIES):
        mark = state_mark(state)
        members = {**key, **settings_take(environment.settings_dir), **state_take(state)}
        rows.seek(0)
        rows.truncate()
        facts = _take_database(environment, rows)
        if state_mark(state) == mark:
            return facts, members
    raise BackupError("rules were applied during every attempt. Try again when no apply is running")


def data_owner(folder: Path) -> os.stat_result:
    """Return the owner of the database's folder. Raises BackupError."""
    try:
        return folder.stat()
    except OSError as error:
        raise BackupError(f"{folder}, the database's folder, cannot be used: {error.strerror}") from None


def _take_database(environment: Environment, rows: IO[bytes]) -> dict[str, Any]:
    def work(pause: object) -> dict[str, Any]:
        facts = database_dump(rows)
        rows.flush()
        return facts

    owner = data_owner(environment.data_dir)
    with OwnersProcess(owner, work, expected=(BackupError, ServiceError, DatabaseError)) as process:
        return process.hear()


@contextlib.contextmanager
def _new_file(path: Path) -> Iterator[IO[bytes]]:
    """Open a file for its owner only, which replaces `path` at the end of the block."""
    descriptor, draft = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.absolute().parent)
    try:
        with os.fdopen(descriptor, "w+b") as file:
            yield file
            os.fsync(descriptor)
        os.replace(draft, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(draft)
        raise
    sync_directory(path.absolute().parent)


def _tell(options: argparse.Namespace, output: Output, manifest: Manifest, members: dict[str, bytes]) -> None:
    rows = manifest.database["rows"]
    settings = [name for name in members if name.startswith("settings/")]
    whole = "state" in manifest.parts
    try:
        settings_check(members)
    except BackupError as error:
        output.note(f"The settings in this backup cannot be restored: {error}")
    if not whole:
        output.note(ONLY_DATABASE)
    words = (
        f"{options.file}: {describe_count(rows.get('rules.revision', 0), 'revision')}, "
        f"{describe_count(rows.get('rules.auditevent', 0), 'audit event')}, "
        f"{describe_count(rows.get('auth.user', 0), 'account')}"
    )
    words += f", {describe_count(len(settings), 'settings file')}, the root worker's state." if whole else "."
    if output.as_json and options.file != "-":
        value = {"file": options.file, "made_at": manifest.made_at, "parts": manifest.parts, "rows": rows}
        output.json({**value, "members": [DATABASE, *members]})
    elif options.file == "-":
        output.note(words.replace("-:", "standard output:", 1))
    else:
        output.line(words)

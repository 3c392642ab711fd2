"""Where a restored database is built, and how it replaces the present one.

For SQLite this is a new file beside the old one. For Postgres it is one transaction, in which the old tables
move into their own schema. In both cases the old database is kept, and nothing changes before the last step.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from django.db import DatabaseError, connection, transaction

from rules.pages.errors import ServiceError

# Tables that are empty in a fresh installation, which may have a host, a session and a setup link.
DATA_TABLES = ("auth_user", "rules_revision", "rules_rule", "rules_expectation")


@dataclass(frozen=True, slots=True)
class Present:
    """The content of the present database: whether it has data, and the highest sequence number."""

    rows: bool
    sequence: int


class Place(Protocol):
    """Where the restored database is built."""

    @property
    def kept(self) -> str:
        """Where the former database is kept afterwards, empty if there was none."""

    def check(self) -> None:
        """Do every step that may fail. Raises ServiceError when the database cannot be replaced now."""

    def take(self) -> None:
        """Replace the database for good."""


def read_present() -> Present:
    """Describe the present database; one without tables has no data."""
    if connection.vendor == "sqlite" and not _file().exists():
        return Present(False, 0)
    with connection.cursor() as cursor:
        there = set(connection.introspection.table_names(cursor))
        rows = False
        for table in DATA_TABLES:
            if table in there:
                cursor.execute(f"SELECT 1 FROM {table} LIMIT 1")  # noqa: S608 - the names are constants
                rows = rows or cursor.fetchone() is not None
        sequence = 0
        if "rules_host" in there:
            cursor.execute("SELECT max(sequence) FROM rules_host")
            sequence = (cursor.fetchone() or (0,))[0] or 0
    return Present(rows, sequence)


@contextlib.contextmanager
def open_new_place(*, aside: str) -> Iterator[Place]:
    """Point the default connection to an empty database for the block. Raises ServiceError and OSError."""
    if connection.vendor == "postgresql":
        with transaction.atomic():
            yield _Schema(re.sub(r"[^a-z0-9_]", "_", aside.lower()))
    elif connection.vendor == "sqlite":
        with _sqlite_place(_file(), aside) as place:
            yield place
    else:
        raise ServiceError(f"A backup cannot be restored into {connection.vendor}.")


class _Schema:
    """A schema for the old tables, which move there in the transaction that creates the new ones."""

    def __init__(self, schema: str) -> None:
        self.kept = ""
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
                "AND pid <> pg_backend_pid() AND usename = current_user AND backend_type = 'client backend'"
            )
            if (cursor.fetchone() or (0,))[0]:
                raise ServiceError("The database is in use. Stop dockerfw's web and clerk first.")
            names = [
                table.name for table in connection.introspection.get_table_list(cursor) if table.type == "t"
            ]
            if names:
                cursor.execute(f"CREATE SCHEMA {schema}")
                self.kept = f"the schema {schema}"
            for name in names:
                cursor.execute(f"ALTER TABLE {connection.ops.quote_name(name)} SET SCHEMA {schema}")

    def check(self) -> None:
        """Check all constraints now instead of at the end of the transaction."""
        with connection.cursor() as cursor:
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")

    def take(self) -> None:
        """Do nothing: the end of the transaction replaces the tables."""


@contextlib.contextmanager
def _sqlite_place(file: Path, aside: str) -> Iterator[Place]:
    new = file.with_name(f"{file.name}.new")
    _remove(new)
    _fold(file)
    place = _File(file, new, file.with_name(f"{file.name}.{aside}"))
    name = connection.settings_dict["NAME"]
    connection.close()
    connection.settings_dict["NAME"] = str(new)
    try:
        yield place
    finally:
        connection.close()
        connection.settings_dict["NAME"] = name
        place.leave()
        _remove(new)


class _File:
    """A new file beside the old one, which is renamed over it."""

    def __init__(self, file: Path, new: Path, aside: Path) -> None:
        self._file, self._new, self._aside = file, new, aside
        self.kept = str(aside) if file.exists() else ""
        self._linked = False

    def check(self) -> None:
        """Check that no process has the old file open, and sync the new file to disk.

        The old file gets its second name, so that only one rename is left.
        """
        _fold(self._file)
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA journal_mode=DELETE")
        connection.close()
        if self._file.exists():
            os.link(self._file, self._aside)
            self._linked = True
        for path in (self._new, self._new.parent):
            _sync(path)

    def take(self) -> None:
        """Rename the new file over the old one."""
        os.replace(self._new, self._file)
        self._linked = False
        _sync(self._file.parent)

    def leave(self) -> None:
        """Remove the second name of an old file that was not replaced."""
        if self._linked:
            self._aside.unlink(missing_ok=True)


def _fold(file: Path) -> None:
    """Merge a database's log into its file, because a log that stays would damage the new database."""
    if not file.exists():
        return
    name = connection.settings_dict["NAME"]
    connection.close()
    connection.settings_dict["NAME"] = str(file)
    try:
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA journal_mode=DELETE")
            mode = (cursor.fetchone() or ("",))[0]
    except DatabaseError as error:
        raise ServiceError(
            f"The database is in use or damaged ({error}). Stop dockerfw's web and clerk."
        ) from None
    finally:
        connection.close()
        connection.settings_dict["NAME"] = name
    if mode != "delete" or file.with_name(f"{file.name}-wal").exists():
        raise ServiceError("The database is in use. Stop dockerfw's web and clerk first.")


def _sync(path: Path) -> None:
    """Make a file, or the names in a folder, survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove(file: Path) -> None:
    for end in ("", "-wal", "-shm", "-journal"):
        file.with_name(f"{file.name}{end}").unlink(missing_ok=True)


def _file() -> Path:
    return Path(str(connection.settings_dict["NAME"]))

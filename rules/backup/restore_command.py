"""The verb `restore`: replace the installation with a backup, completely or not at all.

The former installation is kept aside. The backup is read and checked before anything changes. Then both parts
are prepared, the database in a process of its owner, and replaced one after the other. A failure undoes the
parts already replaced.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from django.db import DatabaseError

from dockerfw.host.errors import HostError
from dockerfw.host.files import sync_directory
from dockerfw.host.hooks import checkpoint
from dockerfw.store.backup import StoredState, state_check, state_is_used, state_lock, state_replace
from dockerfw.store.interrupted import ASIDE, RestoreNote
from dockerfw.store.sentences import RESTORE_AGAIN
from dockerfw.store.state import StateDirectory
from dockerfw.streams import InputError, Output, shown
from dockerfw_site.environment import SECRET_KEY_MIN, Environment, read_environment
from dockerfw_site.presence import InUse, alone
from rules.audit.actors import command_line_actor
from rules.backup.archive import SECRET_KEY, Archive, BackupError, beside, read_archive
from rules.backup.backup_command import data_owner, may_have_all
from rules.backup.owners_process import OwnerFailed, OwnersProcess, Pause
from rules.backup.restore_services import Source, Terms, database_restore, rows_check, source_check
from rules.backup.restored import live_words, next_steps
from rules.backup.settings_files import settings_check, settings_put
from rules.pages.errors import ServiceError

BEFORE = (
    "An earlier restore was interrupted. What it replaced is kept too, under names that end in {names}. The "
    "oldest of each part belongs to the original installation."
)
OCCUPIED = (
    "the root worker already has state on this host. Use --replace to move it aside and restore the backup's"
)


@dataclass(frozen=True, slots=True)
class _Checked:
    """A backup in which every part is valid."""

    archive: Archive
    source: Source
    settings: dict[str, bytes]
    stored: StoredState
    has_state: bool


def restore(options: argparse.Namespace, output: Output) -> int:
    """Replace the installation with a backup, or with --check only read the backup."""
    environment = read_environment()
    try:
        with _opened(options.file) as file:
            archive = read_archive(file, shown(options.file), room=_room(options.file))
        with archive.rows:
            checked = _check(archive, options, environment)
            if options.check:
                rows_check(archive.rows, checked.source)
                output.line(f"{shown(options.file)}: {_origin(archive)}. It can be restored.")
                return 0
            return _restore(checked, options, environment, output)
    except (BackupError, OwnerFailed, HostError, ServiceError, DatabaseError, OSError) as error:
        raise InputError(f"nothing was restored: {error}") from error


def _check(archive: Archive, options: argparse.Namespace, environment: Environment) -> _Checked:
    manifest = archive.manifest
    if manifest.host != environment.host:
        raise BackupError(
            f"the backup is of the host {manifest.host!r}, but this host is {environment.host!r}. "
            f"Set DOCKERFW_HOST={manifest.host} to continue as that host"
        )
    key = archive.members.get(SECRET_KEY)
    if key is not None and not (SECRET_KEY_MIN <= len(key) <= 1000 and key.isascii() and b"\n" not in key):
        raise BackupError("its secret key is not valid")
    return _Checked(
        archive,
        source_check(dict(manifest.database)),
        {} if options.without_settings else settings_check(archive.members),
        state_check(archive.members),
        has_state="state" in manifest.parts,
    )


def _restore(checked: _Checked, options: argparse.Namespace, environment: Environment, output: Output) -> int:
    whole = may_have_all(environment) and checked.has_state
    state = StateDirectory(environment.state_dir)
    aside = f"{ASIDE}{datetime.now(UTC):%Y%m%dT%H%M%S.%f}"
    settings = checked.settings if environment.settings_dir.is_dir() else {}
    again = RESTORE_AGAIN.format(command=environment.command)
    floor = checked.stored.sequence
    note: RestoreNote | None = None
    with contextlib.ExitStack() as stack:
        stack.enter_context(_undisturbed())
        if may_have_all(environment):
            stack.enter_context(state_lock(state))
            floor = max(floor, state.read_last_order().sequence)
            note = _note(checked, state, aside, settings=bool(settings))
            left = None if note is None else note.before
            if whole and state_is_used(state) and not options.replace:
                raise BackupError(OCCUPIED if left is None else f"{left.words(state.path)} {again}")
        terms = Terms(
            actor=command_line_actor(),
            detail=_origin(checked.archive),
            host=environment.host,
            floor=floor,
            replace=options.replace,
            aside=aside,
        )
        work = _database_work(checked, environment, terms)
        process = stack.enter_context(
            OwnersProcess(
                data_owner(environment.data_dir),
                work,
                expected=(BackupError, ServiceError, DatabaseError, InUse),
            )
        )
        found = process.hear()
        kept, changed = "", []
        if note is not None:
            kept = stack.enter_context(
                state_replace(state, checked.stored, sequence=found["sequence"], aside=aside, note=note)
            )
            changed = stack.enter_context(settings_put(settings, environment.settings_dir, aside))
            checkpoint("restore-settings")
        process.go_on()
        done = _last_word(process, note)
        checkpoint("restore-database")
    if "unsure" in done:
        raise InputError(f"cannot tell whether the database was restored: {done['unsure']}. {again}")
    output.line(f"Restored: {_origin(checked.archive)}.")
    for line in next_steps(
        checked.stored, found, [done["kept"], kept], changed, whole=whole, environment=environment
    ):
        output.line(line)
    if note is not None and note.before is not None:
        output.line(BEFORE.format(names=note.note.names))
    if whole and checked.settings and not environment.settings_dir.is_dir():
        output.line(f"The settings were not restored: {environment.settings_dir} does not exist here.")
    if whole and os.geteuid() == 0 and not options.no_live:
        for line in live_words(state, environment):
            output.line(line)
    return 0


def _note(checked: _Checked, state: StateDirectory, aside: str, *, settings: bool) -> RestoreNote | None:
    """Return the note of a complete restore, None for one of only the database. Raises BackupError."""
    note = RestoreNote(state.path, backup=checked.archive.manifest.made_at, aside=aside, settings=settings)
    if note.before is not None and not checked.has_state:
        raise BackupError(
            f"{note.before.words(state.path)} This backup holds the database only. Use another one"
        )
    if note.before is not None and note.before.settings and not settings:
        raise BackupError(f"{note.before.words(state.path)} It changed settings, so restore them too")
    return note if checked.has_state else None


def _last_word(process: OwnersProcess, note: RestoreNote | None) -> dict[str, Any]:
    """Return the database process's last answer; under "unsure" the reason when its outcome is unknown."""
    try:
        return process.hear()
    except OwnerFailed as error:
        # It only had to rename a file or to commit, and may have done so.
        if note is not None:
            note.unsure = True
        return {"unsure": str(error)}


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """Block SIGINT, SIGTERM and SIGHUP until the end of the block, also in child processes."""
    former = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM, signal.SIGHUP))
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, former)


def _database_work(checked: _Checked, environment: Environment, terms: Terms) -> Any:
    def work(pause: Pause) -> dict[str, Any]:
        with alone(environment.data_dir):
            rows_check(checked.archive.rows, checked.source)

            def pause_with_key(found: dict[str, Any]) -> None:
                with _key_beside(checked.archive.members.get(SECRET_KEY), environment, terms.aside):
                    pause(found)
                checkpoint("restore-key")

            return database_restore(checked.archive.rows, checked.source, terms, pause_with_key)

    return work


@contextlib.contextmanager
def _key_beside(key: bytes | None, environment: Environment, aside: str) -> Iterator[None]:
    """Prepare the restored secret key before the block, and replace the key after it.

    If the database is not replaced after that, users have to sign in again and lose nothing else.
    """
    given = os.environ.get("DOCKERFW_SECRET_KEY", "") or os.environ.get("DOCKERFW_SECRET_KEY_FILE", "")
    path = environment.data_dir / "secret_key"
    if key is None or given or (path.exists() and path.read_bytes().strip() == key):
        yield
        return
    draft, kept = path.with_name(".secret_key.new"), path.with_name(f"secret_key.{aside}")
    linked = False
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(key)
            file.flush()
            os.fsync(descriptor)
        if path.exists():
            os.link(path, kept)
            linked = True
        yield
        os.replace(draft, path)
        linked = False
        sync_directory(path.parent)
    finally:
        if linked:
            kept.unlink(missing_ok=True)
        draft.unlink(missing_ok=True)


def _origin(archive: Archive) -> str:
    manifest = archive.manifest
    return f"backup of {manifest.host} made at {manifest.made_at} by dockerfw {manifest.version}"


def _room(name: str) -> str | None:
    folder = beside(name)
    return folder if folder and os.access(folder, os.W_OK) else None


@contextlib.contextmanager
def _opened(name: str) -> Iterator[IO[bytes]]:
    if name == "-":
        yield sys.stdin.buffer
        return
    with Path(name).open("rb") as file:
        yield file

"""The note of a running restore in the state directory: which backup, since when, where the former parts are.

It exists from before the first part of the installation is replaced until all parts are, or are all undone.
If it is found while no restore runs, database, settings and state may come from two installations. A note
that cannot be read counts like any other.
"""

from __future__ import annotations

import re
import stat
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, ClassVar

from dockerfw.host.clock import boot_id, utc_now
from dockerfw.host.files import read_bounded, remove_durably, write_durably
from dockerfw.messages.shapes import BootId, Text, Time
from dockerfw.store import sentences
from dockerfw.store.records import StateError, StateFile

NOTE = "restoring.json"
MOST_BYTES = 4096
ASIDE = "before-restore-"
_ASIDE = re.compile(ASIDE + r"[0-9]{8}T[0-9]{6}\.[0-9]{6}", re.ASCII)


class RestoreUnfinished(StateError):  # noqa: N818 - it states a fact
    """A restore on this host did not finish."""


@dataclass(frozen=True, slots=True)
class RestoreRecord(StateFile):
    """A restore that started: of the backup made at `backup`, in the boot `boot`.

    What it replaces is kept under names that end in `aside`. `settings` is True if it changes settings. All
    are empty if the note cannot be read.
    """

    FORMAT: ClassVar = "dockerfw-restoring/1"

    backup: Time = ""
    aside: Annotated[str, Text(64, _ASIDE.fullmatch, f"{ASIDE} and a time", or_empty=True)] = ""
    since: Time = ""
    boot: BootId = ""
    settings: bool = False

    @property
    def names(self) -> str:
        """The ending of the names of former parts; a second interrupted restore has kept more."""
        return f"{self.aside} or a later time" if self.aside else f"{ASIDE} and a time"

    def words(self, folder: Path) -> str:
        """Return what happened and where the former installation is."""
        which = sentences.RESTORE_WHICH.format(backup=self.backup, since=self.since) if self.since else ""
        return sentences.RESTORE_UNFINISHED.format(which=which, names=self.names, folder=folder)


class RestoreNote:
    """Writes and removes the note of a restore; after an interrupted one it keeps the names of that one."""

    def __init__(self, folder: Path, *, backup: str, aside: str, settings: bool) -> None:
        """Read the note of an earlier restore, and prepare this one. Raises OSError."""
        self._folder = folder
        self.before = read_restore_record(folder)
        note = RestoreRecord(backup, aside, utc_now(), boot_id(), settings)
        if self.before is not None:
            note = replace(note, aside=self.before.aside, settings=settings or self.before.settings)
        self.note = note
        self.unsure = False
        """True if the result of the restore is unknown; then the note stays."""

    def write(self) -> None:
        """Write the note before the first part is replaced. Raises OSError."""
        write_durably(self._folder / NOTE, self.note.to_bytes())

    def end(self) -> None:
        """Remove the note after every part was replaced. Raises OSError."""
        if not self.unsure:
            remove_durably(self._folder / NOTE)

    def end_undone(self) -> None:
        """Remove the note after every part was undone, unless an earlier restore left it. Raises OSError."""
        if self.before is None:
            remove_durably(self._folder / NOTE)


def read_restore_record(folder: Path) -> RestoreRecord | None:
    """Return the restore that did not finish, None if there is none. Raises OSError."""
    path = folder / NOTE
    try:
        kind = path.lstat().st_mode
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(kind):
        return RestoreRecord()
    try:
        return RestoreRecord.from_bytes(read_bounded(path, most=MOST_BYTES) or b"", str(path))
    except (StateError, OSError):
        return RestoreRecord()


def refuse_half_restored(folder: Path) -> None:
    """Raise RestoreUnfinished if a restore did not finish. Raises OSError."""
    left = read_restore_record(folder)
    if left is not None:
        raise RestoreUnfinished(left.words(folder))

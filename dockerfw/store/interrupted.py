"""The note in the state directory that a restore is at work: of which backup, since when, what is kept where.

It is there from before the first part of the installation changes place until the last one has, or all of
them are back. So wherever it is found without a restore that runs, database, settings and state may be of two
installations. A note that makes no sense counts like any other.
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
from dockerfw.store.records import StateError, StateFile

NOTE = "restoring.json"
MOST_BYTES = 4096
ASIDE = "before-restore-"
_ASIDE = re.compile(ASIDE + r"[0-9]{8}T[0-9]{6}\.[0-9]{6}", re.ASCII)
AGAIN = "Stop dockerfw, and restore once more: {command} restore FILE --replace"


class NotWhole(StateError):  # noqa: N818 - it states a fact
    """A restore has not come to its end here."""


@dataclass(frozen=True, slots=True)
class Restoring(StateFile):
    """A restore that has begun: of the backup made at `backup`, in the boot `boot`.

    What it replaces is kept under names that end in `aside`; `settings` says whether it changes any. All are
    empty when the note does not tell.
    """

    FORMAT: ClassVar = "dockerfw-restoring/1"

    backup: Time = ""
    aside: Annotated[str, Text(64, _ASIDE.fullmatch, f"{ASIDE} and a time", or_empty=True)] = ""
    since: Time = ""
    boot: BootId = ""
    settings: bool = False

    @property
    def names(self) -> str:
        """How the names of what is kept end; another restore that was cut off has kept more."""
        return f"{self.aside} or a later time" if self.aside else f"{ASIDE} and a time"

    def words(self, folder: Path) -> str:
        """Say what happened, and where the former installation is."""
        which = f" (of the backup made at {self.backup}, begun at {self.since})" if self.since else ""
        return (
            f"A restore has not come to its end{which}: database, settings and the root worker's state may "
            "be of two installations. What it replaced is kept under names that end in "
            f"{self.names}, the state in {folder}."
        )


class RestoreNote:
    """Writes and removes the note of a restore; after one that was cut off it keeps to that one's names."""

    def __init__(self, folder: Path, *, backup: str, aside: str, settings: bool) -> None:
        """Make it ready. Raises OSError."""
        self._folder = folder
        self.before = read_restoring(folder)
        note = Restoring(backup, aside, utc_now(), boot_id(), settings)
        if self.before is not None:
            note = replace(note, aside=self.before.aside, settings=settings or self.before.settings)
        self.note = note
        self.unsure = False
        """Whether nobody knows how it ended; then the note stays."""

    def write(self) -> None:
        """Note that parts are about to change places. Raises OSError."""
        write_durably(self._folder / NOTE, self.note.to_bytes())

    def end(self) -> None:
        """Remove it: every part is in place. Raises OSError."""
        if not self.unsure:
            remove_durably(self._folder / NOTE)

    def taken_back(self) -> None:
        """Remove it: every part is as it was, and was whole then. Raises OSError."""
        if self.before is None:
            remove_durably(self._folder / NOTE)


def read_restoring(folder: Path) -> Restoring | None:
    """Return the restore that has not come to its end, None without one.

    Raises OSError when nobody can look there.
    """
    path = folder / NOTE
    try:
        kind = path.lstat().st_mode
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(kind):
        return Restoring()
    try:
        return Restoring.from_bytes(read_bounded(path, most=MOST_BYTES) or b"", str(path))
    except (StateError, OSError):
        return Restoring()


def refuse_half_restored(folder: Path) -> None:
    """Raise NotWhole when a restore has not come to its end. Raises OSError."""
    left = read_restoring(folder)
    if left is not None:
        raise NotWhole(left.words(folder))

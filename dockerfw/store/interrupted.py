"""The note in the state directory that a restore is at work: of which backup, since when, what is kept where.

It is there from before the first part of the installation changes place until the last one has, or all of
them are back. So wherever it is found without a restore that runs, database, settings and state may be of two
installations. A note that makes no sense counts like any other.
"""

from __future__ import annotations

import json
import re
import stat
from dataclasses import dataclass, replace
from pathlib import Path

from dockerfw.host.clock import boot_id, utc_now
from dockerfw.host.files import read_bounded, remove_durably, write_durably
from dockerfw.messages.fields import Fields, MessageError, load_json
from dockerfw.store.records import StateError

NOTE = "restoring.json"
NOTE_FORMAT = "dockerfw-restoring/1"
MOST_BYTES = 4096
ASIDE = "before-restore-"
_ASIDE = re.compile(ASIDE + r"[0-9]{8}T[0-9]{6}\.[0-9]{6}", re.ASCII)
AGAIN = "Stop dockerfw, and restore once more: {command} restore FILE --replace"


class NotWhole(StateError):  # noqa: N818 - it states a fact
    """A restore has not come to its end here."""


@dataclass(frozen=True, slots=True)
class Restoring:
    """A restore that has begun: of the backup made at `backup`, in the boot `boot`.

    What it replaces is kept under names that end in `aside`; `settings` says whether it changes any. All are
    empty when the note does not tell.
    """

    backup: str = ""
    aside: str = ""
    since: str = ""
    boot: str = ""
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
        note = self.note
        value = {
            "format": NOTE_FORMAT,
            "backup": note.backup,
            "aside": note.aside,
            "since": note.since,
            "boot": note.boot,
            "settings": note.settings,
        }
        write_durably(self._folder / NOTE, json.dumps(value).encode("ascii"))

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
        fields = Fields.of_message(load_json(read_bounded(path, most=MOST_BYTES) or b""), NOTE_FORMAT)
        return Restoring(
            backup=fields.time("backup"),
            aside=fields.text("aside", longest=64, pattern=_ASIDE) if fields.take("aside") else "",
            since=fields.time("since"),
            boot=fields.text("boot", longest=64),
            settings=fields.flag("settings"),
        )
    except (MessageError, OSError):
        return Restoring()


def refuse_half_restored(folder: Path) -> None:
    """Raise NotWhole when a restore has not come to its end. Raises OSError."""
    left = read_restoring(folder)
    if left is not None:
        raise NotWhole(left.words(folder))

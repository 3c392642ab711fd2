"""What the root worker remembers on disk: the last sequence number, and how to undo what it began.

Owns the names and the shape of the files in the state directory. Whoever reads a file that makes no sense
gets `StateError`; it must not guess what was in there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from rules.host.bootfiles import MODES
from rules.host.files import locked, make_directory, read_bounded, remove_durably, write_durably
from rules.queue.fields import Fields, OrderError, load_json
from rules.queue.snapshots import FAMILIES, Backend, Family

UNDO_FORMAT = "dockerfw-undo/1"
MAX_UNDO_BYTES = 96 * 1024 * 1024


class StateError(Exception):
    """A file of the state directory does not hold what dockerfw wrote there."""


@dataclass(frozen=True, slots=True)
class Begun:
    """The apply that was let in last: its sequence number and id."""

    sequence: int
    apply: str


@dataclass(frozen=True, slots=True)
class UndoRecord:
    """What an apply was about to load, and what the kernel held before; written before the first load."""

    apply: str
    host: str
    event: int
    revision: int
    backend: Backend
    saves: Mapping[Family, str]
    restores: Mapping[Family, str]
    boot_files: Mapping[str, str | None]


class StateDirectory:
    """The root worker's own directory (mode 0700)."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.journal = path / "journal"
        self.boot = path / "boot"
        self._sequence = path / "sequence.json"
        self._undo = path / "undo.json"

    def prepare(self) -> None:
        """Make the directories that are missing. Raises OSError."""
        for directory in (self.path, self.journal, self.boot):
            make_directory(directory)

    def lock(self, *, seconds: float = 30.0) -> AbstractContextManager[None]:
        """Hold the right to change this host's rules. Raises LockedOut and OSError."""
        return locked(self.path / "lock", seconds=seconds)

    def worker_lock(self) -> AbstractContextManager[None]:
        """Hold the right to be this directory's only root worker. Raises LockedOut and OSError."""
        return locked(self.path / "worker.lock", seconds=2.0)

    def last_begun(self) -> Begun:
        """Return the apply that was let in last, sequence 0 for none. Raises StateError, OSError."""
        raw = read_bounded(self._sequence, most=4096)
        if raw is None:
            return Begun(0, "")
        fields = self._fields(self._sequence, raw)
        try:
            return Begun(fields.integer("sequence"), fields.text("apply", longest=64))
        except OrderError as error:
            raise StateError(f"{self._sequence}: {error}") from None

    def write_begun(self, begun: Begun) -> None:
        """Remember the apply that is let in, for good. Raises OSError."""
        value = {"sequence": begun.sequence, "apply": begun.apply}
        write_durably(self._sequence, json.dumps(value).encode())

    def read_undo(self) -> UndoRecord | None:
        """Return what an apply left behind that never came to its end. Raises StateError, OSError."""
        raw = read_bounded(self._undo, most=MAX_UNDO_BYTES)
        if raw is None:
            return None
        fields = self._fields(self._undo, raw)
        try:
            fields = Fields.of_message(fields.value, UNDO_FORMAT)
            return UndoRecord(
                apply=fields.uuid("apply"),
                host=fields.host(),
                event=fields.integer("event"),
                revision=fields.integer("revision", least=1),
                backend=cast(Backend, fields.one_of("backend", ("nft", "legacy"))),
                saves=_by_family(fields.object("saves")),
                restores=_by_family(fields.object("restores")),
                boot_files=_boot_files(fields.object("boot_files")),
            )
        except OrderError as error:
            raise StateError(f"{self._undo}: {error}") from None

    def write_undo(self, record: UndoRecord) -> None:
        """Remember how to undo what is about to be loaded. Raises OSError."""
        value = {
            "format": UNDO_FORMAT,
            "apply": record.apply,
            "host": record.host,
            "event": record.event,
            "revision": record.revision,
            "backend": record.backend,
            "saves": {str(family): text for family, text in record.saves.items()},
            "restores": {str(family): text for family, text in record.restores.items()},
            "boot_files": dict(record.boot_files),
        }
        write_durably(self._undo, json.dumps(value).encode("ascii"))

    def clear_undo(self) -> None:
        """Forget how to undo: the apply came to its end. Raises OSError."""
        remove_durably(self._undo)

    def _fields(self, path: Path, raw: bytes) -> Fields:
        try:
            return Fields(load_json(raw, max_bytes=MAX_UNDO_BYTES))
        except OrderError as error:
            raise StateError(f"{path}: {error}") from None


def _boot_files(fields: Fields) -> dict[str, str | None]:
    def read(name: str) -> str:
        return fields.text(name, longest=MAX_UNDO_BYTES)

    return {name: fields.optional(name, read) for name in MODES}


def _by_family(fields: Fields) -> dict[Family, str]:
    longest = MAX_UNDO_BYTES
    return {
        family: fields.text(str(family), longest=longest) for family in FAMILIES if fields.has(str(family))
    }

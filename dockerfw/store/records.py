"""The files of an open window: the window itself, and the previous rules, to which it can be rolled back.

The window is small and is rewritten whenever it changes. The previous rules are written once, before the
first load. A file that cannot be read raises StateError; nothing is guessed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal, Self

from dockerfw.host.errors import HostError
from dockerfw.iptables.model import FAMILIES, Backend, Family
from dockerfw.messages.codec import Absent, AtMost, Message, load_json
from dockerfw.messages.errors import MessageError
from dockerfw.messages.outcomes import Step
from dockerfw.messages.shapes import (
    Anything,
    BootId,
    Count,
    Digest,
    Entries,
    HostName,
    Positive,
    Seconds,
    Text,
    Uuid,
)

MAX_WINDOW_BYTES = 1024 * 1024
MAX_UNDO_BYTES = 96 * 1024 * 1024

Phase = Literal["loading", "awaiting"]


class StateError(HostError):
    """A file of the state directory does not contain what dockerfw wrote there."""


class StateFile(Message):
    """Base of the records that are each one file of the state directory.

    Unknown keys are ignored, so that an earlier release can read the files of a later one.
    """

    __slots__ = ()

    IGNORES_UNKNOWN_KEYS: ClassVar = True
    MAX_BYTES: ClassVar[int] = MAX_WINDOW_BYTES

    def to_bytes(self) -> bytes:
        """Return the content of the file, written as every release writes it.

        The watchdog searches it for `"apply": "…"` as text, with the space.
        """
        return json.dumps(self.to_json(), allow_nan=False).encode("ascii")

    @classmethod
    def from_bytes(cls, raw: bytes, name: str) -> Self:
        """Read the content of the file `name`. Raises StateError."""
        try:
            return cls.from_json(load_json(raw, max_bytes=cls.MAX_BYTES))
        except MessageError as error:
            raise StateError(f"{name}: {error}") from None


@dataclass(frozen=True, slots=True)
class WindowRecord(StateFile):
    """An apply that is being loaded or waits for confirmation; times are CLOCK_BOOTTIME of the boot `boot`.

    `event` is the number of the last reported event. `deadline` is when the watchdog ends the apply, because
    the load takes too long or no answer came. With `end_sessions`, sessions that are no longer allowed are
    ended once the revision is confirmed.
    """

    FORMAT: ClassVar = "dockerfw-window/1"

    apply: Uuid
    host: HostName
    event: Count
    revision: Positive
    digest: Digest
    phase: Phase
    seconds: Positive
    opened: Seconds
    deadline: Seconds
    boot: BootId
    steps: Annotated[tuple[Step, ...], AtMost(64)]
    # A window of an earlier version has no such key.
    end_sessions: Annotated[bool, Absent.ALLOWED] = False


_Saves = Annotated[Mapping[Family, str], Entries(FAMILIES, Text(MAX_UNDO_BYTES), some=True)]


@dataclass(frozen=True, slots=True)
class UndoRecord(StateFile):
    """What an apply is about to load, its document, and the saves from before.

    `own_jumps` are the families that get jumps of dockerfw's own in FORWARD. `sets` are the static sets that
    the restores name, as `write_sets` writes them. `held` is the document that the kernel held before, as far
    as that is known, and only where its rules cannot be read back from the saves.
    """

    FORMAT: ClassVar = "dockerfw-undo/2"
    MAX_BYTES: ClassVar = MAX_UNDO_BYTES

    apply: Uuid
    backend: Backend
    document: Annotated[object, Anything()]
    saves: _Saves
    restores: _Saves
    own_jumps: Annotated[tuple[Family, ...], AtMost(2), Absent.WHEN_EMPTY] = ()
    sets: Annotated[str, Text(MAX_UNDO_BYTES), Absent.WHEN_EMPTY] = ""
    held: Annotated[object, Anything(), Absent.WHEN_EMPTY] = None
    held_digest: Annotated[str, Text(64), Absent.WHEN_EMPTY] = ""

"""What an open window leaves on disk: until when it is open, and the way back to what the kernel held before.

Owns the shape of the two files. The window is small and is rewritten when something about it changes; the way
back is written once, before the first load. A file that makes no sense gets `StateError`; nothing is guessed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, cast

from dockerfw.iptables.model import FAMILIES, Family
from dockerfw.messages.fields import Fields, OrderError, load_json
from dockerfw.messages.orders import Step
from dockerfw.messages.snapshots import Backend

WINDOW_FORMAT = "dockerfw-window/1"
UNDO_FORMAT = "dockerfw-undo/2"
MAX_WINDOW_BYTES = 1024 * 1024
MAX_UNDO_BYTES = 96 * 1024 * 1024

Phase = Literal["loading", "awaiting"]


class StateError(Exception):
    """A file of the state directory does not hold what dockerfw wrote there."""


@dataclass(frozen=True, slots=True)
class WindowRecord:
    """An apply whose rules are being loaded, or wait to be kept; times are CLOCK_BOOTTIME of the boot `boot`.

    `event` is the number of the last event that was told. `deadline` is when the watchdog ends it: a load
    that takes too long, or a window that nobody answered in. `end_sessions` asks to end, once it is kept, the
    sessions that lost their allowance.
    """

    apply: str
    host: str
    event: int
    revision: int
    digest: str
    phase: Phase
    seconds: int
    opened: float
    deadline: float
    boot: str
    steps: tuple[Step, ...]
    end_sessions: bool = False

    def to_bytes(self) -> bytes:
        """Return the content of its file."""
        value = {
            "format": WINDOW_FORMAT,
            "apply": self.apply,
            "host": self.host,
            "event": self.event,
            "revision": self.revision,
            "digest": self.digest,
            "phase": self.phase,
            "seconds": self.seconds,
            "opened": self.opened,
            "deadline": self.deadline,
            "boot": self.boot,
            "steps": [step.to_json() for step in self.steps],
            "end_sessions": self.end_sessions,
        }
        return json.dumps(value).encode("ascii")

    @classmethod
    def from_bytes(cls, raw: bytes, name: str) -> WindowRecord:
        """Read the content of its file, which `name` names. Raises StateError."""
        try:
            fields = Fields.of_message(load_json(raw, max_bytes=MAX_WINDOW_BYTES), WINDOW_FORMAT)
            return cls(
                apply=fields.uuid("apply"),
                host=fields.host(),
                event=fields.integer("event"),
                revision=fields.integer("revision", least=1),
                digest=fields.digest("digest"),
                phase=cast(Phase, fields.one_of("phase", ("loading", "awaiting"))),
                seconds=fields.integer("seconds", least=1),
                opened=fields.number("opened"),
                deadline=fields.number("deadline"),
                boot=fields.text("boot", longest=64),
                steps=tuple(Step.from_json(item, path) for item, path in fields.items("steps", most=64)),
                # A window may be older than this root worker, which did not know of it.
                end_sessions=fields.flag("end_sessions") if fields.has("end_sessions") else False,
            )
        except OrderError as error:
            raise StateError(f"{name}: {error}") from None


@dataclass(frozen=True, slots=True)
class UndoRecord:
    """What an apply is about to load, from which document, and what the kernel held before."""

    apply: str
    backend: Backend
    document: object
    saves: Mapping[Family, str]
    restores: Mapping[Family, str]

    def to_bytes(self) -> bytes:
        """Return the content of its file."""
        value = {
            "format": UNDO_FORMAT,
            "apply": self.apply,
            "backend": self.backend,
            "document": self.document,
            "saves": {str(family): text for family, text in self.saves.items()},
            "restores": {str(family): text for family, text in self.restores.items()},
        }
        return json.dumps(value).encode("ascii")

    @classmethod
    def from_bytes(cls, raw: bytes, name: str) -> UndoRecord:
        """Read the content of its file, which `name` names. Raises StateError."""
        try:
            fields = Fields.of_message(load_json(raw, max_bytes=MAX_UNDO_BYTES), UNDO_FORMAT)
            return cls(
                apply=fields.uuid("apply"),
                backend=cast(Backend, fields.one_of("backend", ("nft", "legacy"))),
                document=fields.take("document"),
                saves=_by_family(fields.object("saves")),
                restores=_by_family(fields.object("restores")),
            )
        except OrderError as error:
            raise StateError(f"{name}: {error}") from None


def _by_family(fields: Fields) -> dict[Family, str]:
    longest = MAX_UNDO_BYTES
    return {
        family: fields.text(str(family), longest=longest) for family in FAMILIES if fields.has(str(family))
    }

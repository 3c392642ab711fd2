"""The message about what root did on a host's console, and what the root worker noticed, for the audit.

Owns its shape, as orders.py does for the others. Nothing is ever done because of such a message.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, cast

from dockerfw.messages.fields import Fields

FORMAT = "dockerfw-console/1"
Verb = Literal[
    "panic", "panic-off", "release", "drift", "drift-gone", "heal", "heal-failed", "heal-rests", "left-out"
]

CONSOLE_VERBS: tuple[Verb, ...] = ("panic", "panic-off", "release")
LOOKOUT_VERBS: tuple[Verb, ...] = ("drift", "drift-gone", "heal", "heal-failed", "heal-rests", "left-out")


@dataclass(frozen=True, slots=True)
class ConsoleEvent:
    """One thing that was done on the console, or noticed: which, by whom, when, and in words."""

    id: str
    host: str
    verb: Verb
    actor: str
    at: str
    detail: str

    @classmethod
    def from_json(cls, value: object) -> ConsoleEvent:
        """Read an event. Raises MessageError."""
        fields = Fields.of_message(value, FORMAT)
        event = cls(
            id=fields.uuid("id"),
            host=fields.host(),
            verb=cast(Verb, fields.one_of("verb", (*CONSOLE_VERBS, *LOOKOUT_VERBS))),
            actor=fields.text("actor", longest=150),
            at=fields.time("at"),
            detail=fields.text("detail", longest=8000),
        )
        fields.done()
        return event

    def to_json(self) -> Mapping[str, object]:
        """Return the event as a JSON object."""
        return {
            "format": FORMAT,
            "id": self.id,
            "host": self.host,
            "verb": self.verb,
            "actor": self.actor,
            "at": self.at,
            "detail": self.detail,
        }

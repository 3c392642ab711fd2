"""The message about what root did on a host's console, or what the root worker noticed, for the audit log.

The dashboard only records these messages: nothing is ever done because of one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from dockerfw.messages.codec import Message
from dockerfw.messages.shapes import HostName, Text, Time, Uuid

Verb = Literal[
    "panic",
    "panic-off",
    "release",
    "reset-sequence",
    "drift",
    "drift-gone",
    "heal",
    "heal-failed",
    "heal-rests",
    "left-out",
    "sets-refilled",
    "expired",
    "lists-loaded",
    "lists-failed",
]

CONSOLE_VERBS: tuple[Verb, ...] = ("panic", "panic-off", "release", "reset-sequence")
NOTICED_VERBS: tuple[Verb, ...] = (
    *("drift", "drift-gone", "heal", "heal-failed", "heal-rests"),
    *("left-out", "sets-refilled", "expired", "lists-loaded", "lists-failed"),
)


@dataclass(frozen=True, slots=True)
class ConsoleEvent(Message):
    """One event: what happened, who did or noticed it, when, and a description."""

    FORMAT: ClassVar = "dockerfw-console/1"

    id: Uuid
    host: HostName
    verb: Verb
    actor: Annotated[str, Text(150)]
    at: Time
    detail: Annotated[str, Text(8000)]

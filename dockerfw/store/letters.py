"""The letters to the clerk: what one is called on disk, how large it may be, and how it is read.

A letter is an outcome of an apply, or an event: what root did on the console or the root worker noticed.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from dockerfw.host.files import read_bounded
from dockerfw.messages.codec import load_json
from dockerfw.messages.errors import MessageError
from dockerfw.messages.events import ConsoleEvent
from dockerfw.messages.outcomes import Outcome

logger = logging.getLogger("dockerfw.outbox")

Letter = Outcome | ConsoleEvent

LETTER_NAME = re.compile(r"(?:outcome-[0-9a-f-]{36}-[0-9]{6}|console-[0-9a-f-]{36})\.json", re.ASCII)
OUTCOMES = "outcome-*.json"
EVENTS = "console-*.json"


@dataclass(frozen=True, slots=True)
class _Kind:
    max_bytes: int
    from_json: Callable[[object], Letter]


_OUTCOME = _Kind(1024 * 1024, Outcome.from_json)
_EVENT = _Kind(64 * 1024, ConsoleEvent.from_json)


def letter_name(letter: Letter) -> str:
    """Return the name of a letter's file, without its ending."""
    if isinstance(letter, Outcome):
        return f"outcome-{letter.apply}-{letter.event:06d}"
    return f"console-{letter.id}"


def read_letter(path: Path) -> Letter | None:
    """Return the letter in a file; None when the file is gone or holds none. Raises OSError."""
    kind = _kind_of(path.name)
    raw = read_bounded(path, most=kind.max_bytes)
    if raw is None:
        return None
    try:
        return kind.from_json(load_json(raw))
    except MessageError as error:
        logger.error("%s cannot be read: %s", path, error)
        return None


def parse_letter(name: str, content: bytes) -> Letter:
    """Read the content of a letter's file with this name. Raises MessageError."""
    if not LETTER_NAME.fullmatch(name):
        raise MessageError("", "dockerfw has no such file")
    return _kind_of(name).from_json(load_json(content))


def read_outcome(path: Path) -> Outcome | None:
    """Return the outcome in a file; None when the file is gone or holds none. Raises OSError."""
    letter = read_letter(path)
    return letter if isinstance(letter, Outcome) else None


def _kind_of(name: str) -> _Kind:
    return _EVENT if name.startswith("console-") else _OUTCOME

"""The limit for events that wait in the outbox, and the count of those that were dropped because of it.

When there are too many, the oldest that the root worker noticed are dropped first, and what root did on the
console only when nothing else is left. The count becomes an event of its own when the outbox is sent again.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import uuid4

from dockerfw.host.clock import utc_now
from dockerfw.host.files import read_bounded, remove_durably, write_durably
from dockerfw.messages.codec import dump_json
from dockerfw.messages.events import CONSOLE_VERBS, ConsoleEvent
from dockerfw.messages.shapes import Count, Time, Uuid
from dockerfw.store import sentences
from dockerfw.store.letters import EVENTS, letter_name, read_letter
from dockerfw.store.records import StateError, StateFile

logger = logging.getLogger("dockerfw.outbox")

MAX_EVENTS = 500
LEFT_OUT = "left-out.json"
ACTOR = "root worker"


@dataclass(frozen=True, slots=True)
class LeftOut(StateFile):
    """How many events were dropped, their first and last times, and the id of the event that says so."""

    id: Uuid
    count: Count
    first: Time
    last: Time


def limit_events(directory: Path) -> None:
    """Drop the oldest events until no more than MAX_EVENTS wait. Raises OSError."""
    found = sorted((path.stat().st_mtime_ns, path) for path in directory.glob(EVENTS))
    excess = len(found) - MAX_EVENTS
    if excess <= 0:
        return
    events = [(path, read_event(path)) for _, path in found]
    noticed = [pair for pair in events if pair[1] is None or pair[1].verb not in CONSOLE_VERBS]
    done = [pair for pair in events if pair not in noticed]
    for path, event in [*noticed, *done][:excess]:
        # Counted before it goes: being cut off in between counts one twice, and hides none.
        _count(directory, event.at if event else utc_now())
        path.unlink(missing_ok=True)


def write_left_out_event(directory: Path, *, host: str) -> None:
    """Turn the count into an event to send; its id stays the same until that is done. Raises OSError."""
    left = _read(directory)
    if left is None:
        return
    words = sentences.EVENTS_DROPPED.format(count=left.count, first=left.first, last=left.last)
    event = ConsoleEvent(left.id, host, "left-out", ACTOR, utc_now(), words)
    write_durably(directory / f"{letter_name(event)}.json", dump_json(event.to_json()))
    remove_durably(directory / LEFT_OUT)


def read_event(path: Path) -> ConsoleEvent | None:
    """Return the event in a file, None when the file is gone or holds none. Raises OSError."""
    letter = read_letter(path)
    return letter if isinstance(letter, ConsoleEvent) else None


def _count(directory: Path, at: str) -> None:
    left = _read(directory)
    if left is None:
        logger.error("more than %d events wait for the clerk: the oldest are dropped", MAX_EVENTS)
        left = LeftOut(str(uuid4()), 0, at, at)
    left = replace(left, count=left.count + 1, first=min(left.first, at), last=max(left.last, at))
    write_durably(directory / LEFT_OUT, left.to_bytes())


def _read(directory: Path) -> LeftOut | None:
    raw = read_bounded(directory / LEFT_OUT, most=4096)
    if raw is None:
        return None
    try:
        return LeftOut.from_bytes(raw, str(directory / LEFT_OUT))
    except StateError as error:
        logger.error("the count of dropped events cannot be read and starts anew: %s", error)
        return None

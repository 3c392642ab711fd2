"""Keeps what waits for the clerk from growing for ever: so many events, and a count of those left out.

Owns which events go when there are too many: the oldest of those that the root worker noticed by itself, and
only where there are none, the oldest of what people did on the console. What was left out is told as an event
of its own, once somebody listens again.
"""

from __future__ import annotations

import contextlib
import logging
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import uuid4

from dockerfw.host.clock import utc_now
from dockerfw.host.files import read_bounded, remove_durably, write_durably
from dockerfw.messages.codec import dump_json, load_json
from dockerfw.messages.errors import MessageError
from dockerfw.messages.events import CONSOLE_VERBS, ConsoleEvent
from dockerfw.messages.shapes import Count, Time, Uuid
from dockerfw.store.records import StateError, StateFile

logger = logging.getLogger("dockerfw.console")

MAX_WAITING = 500
MAX_BYTES = 64 * 1024
LEFT_OUT = "left-out.json"
ACTOR = "root worker"


@dataclass(frozen=True, slots=True)
class LeftOut(StateFile):
    """How many events were let go, the first and the last of their times, and the id that tells of it."""

    id: Uuid
    count: Count
    first: Time
    last: Time


def bound_events(directory: Path) -> None:
    """Let go of the oldest events until not more than MAX_WAITING wait. Raises OSError."""
    found = sorted((path.stat().st_mtime_ns, path) for path in directory.glob("console-*.json"))
    too_many = len(found) - MAX_WAITING
    if too_many <= 0:
        return
    events = [(path, read_event(path)) for _, path in found]
    noticed = [pair for pair in events if pair[1] is None or pair[1].verb not in CONSOLE_VERBS]
    done = [pair for pair in events if pair not in noticed]
    for path, event in [*noticed, *done][:too_many]:
        # Counted before it goes: being cut off in between counts one twice, and hides none.
        _count(directory, event.at if event else utc_now())
        path.unlink(missing_ok=True)


def tell_left_out(directory: Path, *, host: str) -> None:
    """Make an event of the count, to be sent like any other; its id stays the same until that is done.

    Raises OSError.
    """
    left = _read(directory)
    if left is None:
        return
    words = (
        f"{left.count} events were left out, from {left.first} to {left.last}: nobody wrote them down for so"
        " long that there were too many. Events of the console were kept as long as there were others."
    )
    event = ConsoleEvent(left.id, host, "left-out", ACTOR, utc_now(), words)
    write_durably(directory / f"console-{event.id}.json", dump_json(event.to_json()))
    remove_durably(directory / LEFT_OUT)


def read_event(path: Path) -> ConsoleEvent | None:
    """Return an event, None when the file holds none or is gone. Raises OSError."""
    with contextlib.suppress(MessageError):
        raw = read_bounded(path, most=MAX_BYTES)
        return None if raw is None else ConsoleEvent.from_json(load_json(raw))
    return None


def _count(directory: Path, at: str) -> None:
    left = _read(directory)
    if left is None:
        logger.error("more than %d events wait for the clerk: the oldest are left out", MAX_WAITING)
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
        logger.error("the count of events that were left out is not valid: %s", error)
        return None

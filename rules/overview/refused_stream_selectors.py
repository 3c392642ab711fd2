"""The newest batches of a host's stream of refused packets, read once for all viewers of this process."""

from __future__ import annotations

import logging
import time
from collections import deque
from dataclasses import dataclass, field
from threading import Lock
from typing import Final

from dockerfw.messages.errors import MessageError
from rules.link import client
from rules.overview.refused_packets import StoredBatch, entry_order, read_batch

# With 200 refusals in each, more would take longer to show than the clerk takes to store them.
MOST_BATCHES: Final = 100
# However many viewers there are, Redis is asked this often.
EVERY_SECONDS: Final = 0.5

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Tail:
    """The newest batches, oldest first, the id of the last entry, and why Redis cannot be read if so."""

    batches: tuple[StoredBatch, ...] = ()
    last: str = ""
    problem: str = ""


@dataclass(slots=True)
class _Known:
    lock: Lock = field(default_factory=Lock)
    asked: float = float("-inf")
    batches: deque[StoredBatch] = field(default_factory=lambda: deque(maxlen=MOST_BATCHES))
    tail: Tail = Tail()


_hosts: dict[str, _Known] = {}


def refused_tail(host: str) -> Tail:
    """Return the newest batches of a host. Entries that are no valid batch are left out."""
    known = _hosts.setdefault(host, _Known())
    with known.lock:
        if time.monotonic() - known.asked >= EVERY_SECONDS:
            known.tail = _read(host, known)
            known.asked = time.monotonic()
        return known.tail


def forget_tails() -> None:
    """Forget what was read, as after a change to another Redis."""
    _hosts.clear()


def _read(host: str, known: _Known) -> Tail:
    try:
        entries = _news(host, known)
    except client.QueueError as error:
        return Tail(tuple(known.batches), known.tail.last, str(error))
    for entry, data in entries:
        try:
            known.batches.append(StoredBatch(entry, read_batch(host, data)))
        except MessageError as error:
            logger.warning("a batch of refused packets of %s was skipped: %s", host, error)
    return Tail(tuple(known.batches), entries[-1][0] if entries else known.tail.last)


def _news(host: str, known: _Known) -> tuple[client.StreamEntry, ...]:
    """Return the entries that are new, at most MOST_BATCHES."""
    last = known.tail.last
    newest = client.refusals_newest(host, most=1)
    if not newest or (last and entry_order(newest[0][0]) < entry_order(last)):
        # Another stream: Redis has lost the former one.
        known.batches.clear()
        known.tail = Tail()
        last = ""
    if not newest or newest[0][0] == last:
        return ()
    if last:
        found = client.refusals_after(host, last, most=MOST_BATCHES)
        if len(found) < MOST_BATCHES:
            return found
        known.batches.clear()
    return client.refusals_newest(host, most=MOST_BATCHES)

"""The process beside the clerk that stores refused packets: a flood of them delays nothing else."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from django.db import DatabaseError, connections

from dockerfw.chains.kernel_state import count_refused
from dockerfw.messages.codec import load_json
from dockerfw.messages.errors import MessageError
from dockerfw.messages.snapshot_values import containers_of
from dockerfw.messages.snapshots import Snapshot
from dockerfw.worker.companion import Companion
from rules.link import client
from rules.models import Host
from rules.overview.refused_packets import ContainersThen
from rules.overview.refused_services import refusals_expire, refusals_store, refused_count_store

EVERY_SECONDS: Final = 1.0
EXPIRE_SECONDS: Final = 3600.0
# A snapshot may be large, and it is read here for the names of containers and the counters alone.
SNAPSHOT_SECONDS: Final = 10.0
# So many transactions for one host, then the next host's turn comes.
MOST_STEPS: Final = 20

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Reading:
    """What a snapshot says of refused packets, and when it was read."""

    read: float
    head: bytes
    then: ContainersThen | None


_readings: dict[str, _Reading] = {}
_expired: list[float] = []


def refusals_companion() -> Companion:
    """Return the process that stores refused packets, not started yet."""
    return Companion("refused packets", _work)


def follow_refusals() -> bool:
    """Store what the streams of all hosts hold; return True if there is more. A later turn retries."""
    more = False
    try:
        for host in Host.objects.all():
            try:
                more = _follow(host) or more
            except client.QueueError as error:
                logger.warning("the refused packets of %s are not read now: %s", host, error)
        _expire()
    except DatabaseError as error:
        logger.warning("refused packets could not be stored: %s", error)
    finally:
        # Between the turns no connection of the database is held.
        connections.close_all()
    return more


def _work() -> None:
    connections.close_all()
    while True:
        if not follow_refusals():
            time.sleep(EVERY_SECONDS)


def _follow(host: Host) -> bool:
    then = _containers(host)
    return all(refusals_store(host=host, then=then) for _ in range(MOST_STEPS))


def _containers(host: Host) -> ContainersThen | None:
    """Return the containers of the last snapshot, and store the kernel's counts when it is a new one."""
    now, known = time.monotonic(), _readings.get(host.name)
    if known is not None and now - known.read < SNAPSHOT_SECONDS:
        return known.then
    head = client.snapshot_head(host.name)
    if known is None or head != known.head:
        known = _Reading(now, head, _read(host))
    _readings[host.name] = _Reading(now, head, known.then)
    return known.then


def _read(host: Host) -> ContainersThen | None:
    data = client.snapshot_read(host.name)
    try:
        snapshot = None if data is None else Snapshot.from_json(load_json(data))
    except MessageError as error:
        logger.warning("snapshot of %s cannot be read: %s", host.name, error)
        return None
    if snapshot is None or snapshot.host != host.name:
        return None
    at = datetime.fromisoformat(snapshot.taken_at)
    if not snapshot.failed:
        packets = sum(count_refused(save) for save in snapshot.saves.values())
        refused_count_store(host=host, at=at, packets=packets)
    return ContainersThen(at, containers_of(snapshot))


def _expire() -> None:
    now = time.monotonic()
    if _expired and now - _expired[0] < EXPIRE_SECONDS:
        return
    _expired[:] = [now]
    refusals_expire()

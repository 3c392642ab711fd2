"""Store refused packets by minute, with the exact counts of the kernel, and remove old ones.

The id of the last entry of the stream is stored in the same transaction as what it held, so each entry is
stored once, whatever ends in between.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Container, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Final

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from dockerfw.messages.errors import MessageError
from rules.link import client
from rules.models import Host, RefusedCount, RefusedMinute, RefusedReading
from rules.overview.refused_packets import (
    KIND_FIELDS,
    OTHERS,
    ContainersThen,
    Minutes,
    PacketKind,
    StoredBatch,
    add_packets,
    entry_order,
    fold_batches,
    read_batch,
    source_key,
)

FIRST_ENTRY: Final = "0-0"
# Entries of one transaction. A batch has up to 200 refusals.
MOST_ENTRIES: Final = 50
# A flood of sources or ports fills no disk: the rest of a minute is counted in one row.
MOST_ROWS_A_MINUTE: Final = 200
COUNT_EVERY: Final = timedelta(seconds=50)
_CHUNK: Final = 5_000

logger = logging.getLogger(__name__)


def refusals_store(*, host: Host, then: ContainersThen | None) -> bool:
    """Store the next entries of a host's stream; return True if there may be more.

    Raises QueueError and DatabaseError.
    """
    reading, _ = RefusedReading.objects.get_or_create(host=host)
    entries = client.refusals_after(host.name, reading.entry, most=MOST_ENTRIES)
    if not entries:
        return _begin_again(reading, host)
    batches, unreadable = _read(host, entries)
    minutes = fold_batches(batches, then, shorten=settings.ENVIRONMENT.refused_shorten)
    with transaction.atomic():
        locked = RefusedReading.objects.select_for_update().get(pk=reading.pk)
        if locked.entry != reading.entry:
            # Another clerk was faster.
            return True
        _store_minutes(host, minutes)
        locked.entry = entries[-1][0]
        locked.unreadable += unreadable
        locked.save()
    return len(entries) == MOST_ENTRIES


def refused_count_store(*, host: Host, at: datetime, packets: int) -> bool:
    """Store how many packets the kernel had refused by a moment, once a minute; return True if stored."""
    newest = RefusedCount.objects.filter(host=host).order_by("-at").first()
    if newest is not None and newest.at <= at < newest.at + COUNT_EVERY:
        return False
    if newest is not None and at < newest.at <= timezone.now():
        return False
    RefusedCount.objects.get_or_create(host=host, at=at, defaults={"packets": packets})
    return True


def refusals_expire(*, now: datetime | None = None) -> int:
    """Remove what is older than the settings say and return how many rows. Raises DatabaseError."""
    limit = (now or timezone.now()) - timedelta(days=settings.ENVIRONMENT.refused_days)
    removed = 0
    for model, field in ((RefusedMinute, "minute"), (RefusedCount, "at")):
        old = model.objects.filter(**{f"{field}__lt": limit})
        while keys := list(old.values_list("pk", flat=True)[:_CHUNK]):
            removed += model.objects.filter(pk__in=keys).delete()[0]
    return removed


def _begin_again(reading: RefusedReading, host: Host) -> bool:
    """Read from the start if the stream is another one: Redis lost it, or its clock was set back."""
    newest = client.refusals_newest(host.name, most=1)
    if not newest or entry_order(newest[0][0]) >= entry_order(reading.entry):
        return False
    RefusedReading.objects.filter(pk=reading.pk, entry=reading.entry).update(entry=FIRST_ENTRY)
    return True


def _read(host: Host, entries: Sequence[client.StreamEntry]) -> tuple[list[StoredBatch], int]:
    found: list[StoredBatch] = []
    for entry, data in entries:
        try:
            found.append(StoredBatch(entry, read_batch(host.name, data)))
        except MessageError as error:
            logger.warning("a batch of refused packets of %s was skipped: %s", host.name, error)
    return found, len(entries) - len(found)


def _store_minutes(host: Host, minutes: Minutes) -> None:
    wanted = {minute for minute, _ in minutes}
    stored = {
        (row.minute, _kind(row)): row for row in RefusedMinute.objects.filter(host=host, minute__in=wanted)
    }
    rows_of = Counter(minute for minute, _ in stored)
    bounded: Minutes = {}
    for (minute, kind), packets in minutes.items():
        if (minute, kind) not in stored and kind != OTHERS:
            rows_of[minute] += 1
            kind = kind if rows_of[minute] <= MOST_ROWS_A_MINUTE else OTHERS
        add_packets(bounded, kind, packets)
    changed = []
    for key in bounded.keys() & stored.keys():
        row = stored[key]
        row.count += bounded[key].count
        row.last_at = max(row.last_at, bounded[key].last_at)
        changed.append(row)
    RefusedMinute.objects.bulk_update(changed, ["count", "last_at"], batch_size=100)
    RefusedMinute.objects.bulk_create(_rows(host, bounded, stored.keys()), batch_size=100)


def _rows(
    host: Host, minutes: Minutes, stored: Container[tuple[datetime, PacketKind]]
) -> Iterator[RefusedMinute]:
    for (minute, kind), packets in minutes.items():
        if (minute, kind) in stored:
            continue
        values = {name: getattr(kind, name) for name in KIND_FIELDS}
        yield RefusedMinute(
            host=host,
            minute=minute,
            last_at=packets.last_at,
            source_key=source_key(kind.source),
            count=packets.count,
            **values,
        )


def _kind(row: RefusedMinute) -> PacketKind:
    return PacketKind(**{name: getattr(row, name) for name in KIND_FIELDS})

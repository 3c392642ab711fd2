"""Read the refused packets of a host: what is stored by minute, and what is newer in Redis, in one list.

Filters and groups are those of one viewer. What all viewers share is read once.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from ipaddress import ip_network
from itertools import pairwise
from typing import Final, TypeVar

from django.conf import settings
from django.db.models import Max, Q, QuerySet, Sum
from django.utils import timezone

from dockerfw.messages.snapshot_values import containers_of
from dockerfw.reach.refusal_reasons import RefusalReason
from dockerfw.reach.refusal_sentences import describe_refused
from rules.models import Host, RefusedCount, RefusedMinute, RefusedReading
from rules.overview.refused_filters import PERIODS, RefusedFilters
from rules.overview.refused_packets import (
    KIND_FIELDS,
    UNLISTED,
    ContainersThen,
    PacketKind,
    Packets,
    entry_order,
    fold_batches,
    key_range,
)
from rules.overview.refused_reason_selectors import ReasonSelector
from rules.overview.refused_stream_selectors import Tail, refused_tail
from rules.seen.memory import Memory
from rules.seen.snapshot_selectors import SnapshotView

Value = TypeVar("Value")

# Of more kinds of packets, those that came last are read. Filters narrow them down.
MOST_KINDS: Final = 2_000
THIS_HOST: Final = "host"

# The clerk may store more while a page reads.
_MOST_TRIES: Final = 3

_stored: Memory[tuple[str, Mapping[PacketKind, Packets]]] = Memory(32)
_sums: Memory[tuple[str, tuple[int, int, int]]] = Memory(32)
_counted: Memory[tuple[Counted | None]] = Memory(16)
_folded: Memory[Mapping[PacketKind, Packets]] = Memory(8)


@dataclass(frozen=True, slots=True)
class RefusedLine:
    """Refused packets in one row: those of `kind`, and of how many other sources, ports and reasons."""

    kind: PacketKind
    reason: RefusalReason
    packets: Packets
    sources: int = 1
    ports: int = 1
    places: int = 1
    reasons: int = 1

    @property
    def what(self) -> str:
        """Return what was dialled: `5432/tcp`."""
        return describe_refused(self.kind.protocol, self.kind.port)

    @property
    def place(self) -> str:
        """Return where the packets went, as far as it is known: `shop/db`, `host`, `172.17.0.2`."""
        if self.kind.way == "host":
            return "host"
        if self.kind.container:
            return self.kind.container
        return self.kind.inner or ("no container" if self.kind.containers_known else "containers")


@dataclass(frozen=True, slots=True)
class Counted:
    """The packets that the kernel's counters show for the time between two snapshots."""

    packets: int
    since: datetime
    until: datetime


@dataclass(frozen=True, slots=True)
class RefusedTotals:
    """How many packets of a period are listed, and how many more are known of by the reader and the kernel.

    `unlisted` is what the reader counted without listing it. `counted` is None before two snapshots, and
    `uncounted` is what only the kernel's counters show.
    """

    listed: int
    unlisted: int
    counted: Counted | None
    uncounted: int


@dataclass(frozen=True, slots=True)
class RefusedLog:
    """The lines that match the filters, the newest first; `cut` is True if older kinds were left out."""

    lines: tuple[RefusedLine, ...]
    cut: bool
    mark: str
    problem: str


@dataclass(frozen=True, slots=True)
class RefusedNews:
    """The lines of newer batches, oldest first, the id of the last one, and why Redis cannot be read."""

    lines: tuple[RefusedLine, ...]
    last: str
    problem: str


def refused_log(host: Host, view: SnapshotView | None, filters: RefusedFilters) -> RefusedLog:
    """Return the refused packets of a period that match the filters, grouped."""
    tail, since = refused_tail(host.name), _since(filters)
    entry, stored = _read_stored(host, filters)
    kinds = dict(stored)
    for kind, packets in _fold_tail(tail, entry, view).items():
        if packets.last_at >= since and _is_wanted(kind, filters):
            kinds[kind] = kinds[kind] + packets if kind in kinds else packets
    selector = ReasonSelector(host, view)
    newest = sorted(kinds.items(), key=lambda each: each[1].last_at, reverse=True)[:MOST_KINDS]
    lines = (
        RefusedLine(kind, selector.reason_of(kind, packets.last_at), packets) for kind, packets in newest
    )
    found = [line for line in lines if _has_reason(line, filters) and _has_words(line, filters.query)]
    grouped = sorted(_grouped(found, filters.group), key=lambda line: line.packets.last_at, reverse=True)
    return RefusedLog(tuple(grouped), len(kinds) >= MOST_KINDS, refused_mark(host), tail.problem)


def refused_news(
    host: Host, view: SnapshotView | None, filters: RefusedFilters, after: str | None
) -> RefusedNews:
    """Return the packets of the batches after an id that match the filters; with None only the last id."""
    tail = refused_tail(host.name)
    last = tail.last or after or "0-0"
    if after is None:
        return RefusedNews((), last, tail.problem)
    if entry_order(last) < entry_order(after):
        # Redis has lost the former stream.
        after = "0-0"
    selector = ReasonSelector(host, view)
    found = (
        RefusedLine(kind, selector.reason_of(kind, packets.last_at), packets)
        for kind, packets in _fold_tail(tail, after, view).items()
        if _is_wanted(kind, filters)
    )
    lines = [line for line in found if _has_reason(line, filters) and _has_words(line, filters.query)]
    return RefusedNews(tuple(sorted(lines, key=lambda line: line.packets.last_at)), last, tail.problem)


def checked_lines(
    host: Host, view: SnapshotView | None, lines: Iterable[RefusedLine]
) -> tuple[RefusedLine, ...]:
    """Return lines whose reasons were put to the simulator too."""
    selector = ReasonSelector(host, view)
    return tuple(
        replace(line, reason=selector.checked(line.kind, line.packets.last_at, line.reason)) for line in lines
    )


def refused_mark(host: Host) -> str:
    """Return a text that changes when there is something new to show, at least once a minute."""
    tail = refused_tail(host.name)
    return f"{tail.last}.{int(bool(tail.problem))}.{int(timezone.now().timestamp()) // 60}"


def refused_totals(host: Host, filters: RefusedFilters) -> RefusedTotals:
    """Return the numbers of a period, whatever the other filters are."""
    since = _since(filters)
    counted = _count(host, since)

    def read() -> tuple[int, int, int]:
        rows = _rows(host, filters)
        between = rows.filter(last_at__gt=counted.since, last_at__lte=counted.until) if counted else None
        others = rows.filter(reason=UNLISTED)
        return _sum(rows.exclude(reason=UNLISTED)), _sum(others), 0 if between is None else _sum(between)

    key = (_stored_key(host, filters), counted and counted.until)
    entry, (listed, unlisted, between) = _sums.get_or_compute(key, lambda: _consistent(host, read))
    for kind, packets in _fold_tail(refused_tail(host.name), entry, None).items():
        if packets.last_at >= since:
            listed += packets.count if kind.reason != UNLISTED else 0
            unlisted += packets.count if kind.reason == UNLISTED else 0
    return RefusedTotals(listed, unlisted, counted, max(0, counted.packets - between) if counted else 0)


def _since(filters: RefusedFilters) -> datetime:
    since = timezone.now() - PERIODS[filters.since][1]
    return since.replace(second=0, microsecond=0)


def _entry(host: Host) -> str:
    """Return the id of the entry that was stored last."""
    reading = RefusedReading.objects.filter(host=host).first()
    return reading.entry if reading else "0-0"


def _stored_key(host: Host, filters: RefusedFilters) -> Hashable:
    """Return what stored packets are remembered by: of more than an hour they are read once a minute."""
    return (host.created_at, _since(filters), _entry(host) if filters.since == "hour" else "")


def _consistent(host: Host, read: Callable[[], Value]) -> tuple[str, Value]:
    """Return what is read from the database, and up to which entry it was stored then."""
    for _ in range(_MOST_TRIES):
        entry, value = _entry(host), read()
        if _entry(host) == entry:
            break
    return entry, value


def _read_stored(host: Host, filters: RefusedFilters) -> tuple[str, Mapping[PacketKind, Packets]]:
    """Return the stored packets, alike ones added up, and up to which entry they are stored."""

    def read() -> Mapping[PacketKind, Packets]:
        rows = _rows(host, filters).exclude(reason=UNLISTED)
        if filters.source:
            rows = rows.filter(source_key__range=key_range(filters.source))
        if filters.port is not None:
            rows = rows.filter(Q(port=filters.port) | Q(inner_port=filters.port))
        if filters.container == THIS_HOST:
            rows = rows.filter(way="host")
        elif filters.container:
            rows = rows.filter(container__icontains=filters.container)
        sums = rows.values(*KIND_FIELDS).annotate(total=Sum("count"), last=Max("last_at"))
        return {
            PacketKind(**{name: row[name] for name in KIND_FIELDS}): Packets(row["total"], row["last"])
            for row in sums.order_by("-last")[:MOST_KINDS]
        }

    key = (_stored_key(host, filters), filters.source, filters.port, filters.container)
    return _stored.get_or_compute(key, lambda: _consistent(host, read))


def _rows(host: Host, filters: RefusedFilters) -> QuerySet[RefusedMinute]:
    return RefusedMinute.objects.filter(host=host, minute__gte=_since(filters))


def _fold_tail(tail: Tail, entry: str, view: SnapshotView | None) -> Mapping[PacketKind, Packets]:
    """Return the packets of the batches that are not stored yet."""
    after = entry_order(entry)
    batches = tuple(stored for stored in tail.batches if entry_order(stored.entry) > after)
    shorten = settings.ENVIRONMENT.refused_shorten

    def fold() -> Mapping[PacketKind, Packets]:
        then = ContainersThen(view.taken_at, containers_of(view.snapshot)) if view else None
        found: dict[PacketKind, Packets] = {}
        for (_, kind), packets in fold_batches(batches, then, shorten=shorten).items():
            found[kind] = found[kind] + packets if kind in found else packets
        return found

    if not batches:
        return {}
    ends = (batches[0].entry, batches[-1].entry)
    return _folded.get_or_compute((batches[0].batch.host, ends, view and view.taken_at, shorten), fold)


def _is_wanted(kind: PacketKind, filters: RefusedFilters) -> bool:
    """Return True if packets match the filters that the database knows."""
    if kind.reason == UNLISTED:
        return False
    if filters.source:
        mine, wanted = ip_network(kind.source), ip_network(filters.source)
        if mine.version != wanted.version or not mine.subnet_of(wanted):  # type: ignore[arg-type]
            return False
    if filters.port is not None and filters.port not in (kind.port, kind.inner_port):
        return False
    if filters.container == THIS_HOST:
        return kind.way == "host"
    return filters.container.casefold() in kind.container.casefold()


def _has_reason(line: RefusedLine, filters: RefusedFilters) -> bool:
    return not filters.reason or line.reason.kind == filters.reason


def _has_words(line: RefusedLine, query: str) -> bool:
    kind = line.kind
    text = f"{kind.source} {kind.destination} {line.what} {line.place} {kind.interface} {line.reason.text}"
    return all(word in text.casefold() for word in query.casefold().split())


_GROUP_KEYS: Final[Mapping[str, Callable[[RefusedLine], Hashable]]] = {
    "pair": lambda line: (line.kind.source, line.what, line.place),
    "source": lambda line: line.kind.source,
    "port": lambda line: (line.what, line.place),
    "container": lambda line: line.place,
    "none": lambda line: (line.kind, line.reason),
}


def _grouped(lines: Iterable[RefusedLine], group: str) -> Iterator[RefusedLine]:
    """Yield one line for each group, which shows what most of its packets are."""
    groups: dict[Hashable, list[RefusedLine]] = {}
    for line in lines:
        groups.setdefault(_GROUP_KEYS[group](line), []).append(line)
    for some in groups.values():
        first = max(some, key=lambda line: (line.packets.count, line.packets.last_at))
        packets = some[0].packets
        for line in some[1:]:
            packets += line.packets
        yield replace(
            first,
            packets=packets,
            sources=len({line.kind.source for line in some}),
            ports=len({line.what for line in some}),
            places=len({line.place for line in some}),
            reasons=len({line.reason.text for line in some}),
        )


def _sum(rows: QuerySet[RefusedMinute]) -> int:
    return int(rows.aggregate(total=Sum("count"))["total"] or 0)


def _count(host: Host, since: datetime) -> Counted | None:
    """Return what the kernel counted since a moment, None before two snapshots."""
    rows = RefusedCount.objects.filter(host=host, at__gte=since)
    newest = rows.aggregate(newest=Max("at"))["newest"]

    def read() -> tuple[Counted | None]:
        samples = list(rows.order_by("at").values_list("at", "packets"))
        if len(samples) < 2:
            return (None,)
        total = 0
        for (_, before), (_, after) in pairwise(samples):
            # Counters begin again with a reboot, or when a chain was made anew.
            total += after - before if after >= before else after
        return (Counted(total, samples[0][0], samples[-1][0]),)

    return _counted.get_or_compute((host.created_at, since, newest), read)[0]

"""Refused packets folded: what is alike in one minute is one entry with a count.

The clerk stores these entries, and the page makes the same ones of what is not stored yet. Nothing here reads
a database or Redis.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address, ip_network
from typing import Final

from dockerfw.messages.codec import load_json
from dockerfw.messages.errors import MessageError
from dockerfw.messages.refusals import MAX_BATCH_BYTES, Refusal, RefusalBatch
from dockerfw.reach.listening import RunningContainer
from dockerfw.reach.refusal_reasons import find_container

UNLISTED: Final = "unlisted"
SHORT: Final[Mapping[int, int]] = {4: 24, 6: 64}
# A host's clock may be wrong, or its root worker may lie: the time of the stream counts then.
_MOST_AHEAD: Final = timedelta(minutes=5)
_MOST_BEHIND: Final = timedelta(hours=1)
# A container that has gone since, or came since, is not known from a reading so much later.
_SAME_MOMENT: Final = timedelta(minutes=2)


@dataclass(frozen=True, slots=True)
class PacketKind:
    """What alike packets share; the fields are those of RefusedMinute."""

    way: str = ""
    interface: str = ""
    source: str = ""
    destination: str = ""
    protocol: str = ""
    port: int | None = None
    inner: str = ""
    inner_port: int | None = None
    container: str = ""
    containers_known: bool = False
    revision: int | None = None
    reason: str = UNLISTED

    @property
    def family(self) -> int:
        """Return the IP version."""
        return 6 if ":" in self.source else 4


KIND_FIELDS: Final = tuple(field.name for field in fields(PacketKind))
OTHERS: Final = PacketKind()
"""Packets that are known of, but not listed."""


@dataclass(frozen=True, slots=True)
class Packets:
    """How many packets there were, and when the last one came."""

    count: int
    last_at: datetime

    def __add__(self, other: Packets) -> Packets:
        return Packets(self.count + other.count, max(self.last_at, other.last_at))


Minutes = dict[tuple[datetime, PacketKind], Packets]


@dataclass(frozen=True, slots=True)
class ContainersThen:
    """The containers that ran at `taken_at`; None where Docker was not asked."""

    taken_at: datetime
    containers: tuple[RunningContainer, ...] | None


@dataclass(frozen=True, slots=True)
class StoredBatch:
    """One batch of the stream with the id of its entry."""

    entry: str
    batch: RefusalBatch


def entry_order(entry: str) -> tuple[int, int]:
    """Return the sort key of a stream's entry id; 0-0 comes before all."""
    milliseconds, _, number = entry.partition("-")
    return int(milliseconds), int(number or 0)


def entry_time(entry: str) -> datetime:
    """Return when Redis added an entry."""
    return datetime.fromtimestamp(min(entry_order(entry)[0] / 1000, 253_370_764_800), UTC)


def read_batch(host: str, data: bytes) -> RefusalBatch:
    """Read one batch of a host. Raises MessageError."""
    batch = RefusalBatch.from_json(load_json(data, max_bytes=MAX_BATCH_BYTES))
    if batch.host != host:
        raise MessageError("host", f"it is a batch of {batch.host}")
    return batch


def fold_batches(batches: Iterable[StoredBatch], then: ContainersThen | None, *, shorten: bool) -> Minutes:
    """Fold batches into alike packets by minute; with `shorten` only the networks of their sources stay."""
    found: Minutes = {}
    for stored in batches:
        added = entry_time(stored.entry)
        for refusal in stored.batch.refusals:
            at = _moment(refusal.at, added)
            kind = _kind_of(refusal, at, then, shorten=shorten)
            add_packets(found, kind, Packets(refusal.count, at))
        if stored.batch.dropped:
            add_packets(found, OTHERS, Packets(stored.batch.dropped, _moment(stored.batch.last, added)))
    return found


def add_packets(minutes: Minutes, kind: PacketKind, packets: Packets) -> None:
    """Add packets to those of the minute in which the last of them came."""
    key = (packets.last_at.replace(second=0, microsecond=0), kind)
    minutes[key] = minutes[key] + packets if key in minutes else packets


def shorten_source(source: str) -> str:
    """Return the network of an address that is stored in its place: a /24, or a /64 of IPv6."""
    address = ip_address(source)
    return str(ip_network((address, SHORT[address.version]), strict=False))


def source_key(source: str) -> str:
    """Return the sort key of an address or network, by which the database finds those in a network."""
    if not source:
        return ""
    network = ip_network(source)
    return f"{network.version}{int(network.network_address):032x}"


def key_range(network: str) -> tuple[str, str]:
    """Return the first and the last sort key of what lies in a network."""
    found = ip_network(network)
    first, last = int(found.network_address), int(found.broadcast_address)
    return f"{found.version}{first:032x}", f"{found.version}{last:032x}"


def _kind_of(refusal: Refusal, at: datetime, then: ContainersThen | None, *, shorten: bool) -> PacketKind:
    source, destination = str(ip_address(refusal.source)), str(ip_address(refusal.destination))
    inner = str(ip_address(refusal.inner.address)) if refusal.inner else ""
    container, known = _container_of(refusal, destination, inner, at, then)
    return PacketKind(
        way=refusal.way,
        interface=refusal.interface,
        source=shorten_source(source) if shorten else source,
        destination=destination,
        protocol=refusal.protocol,
        port=refusal.port,
        inner=inner,
        inner_port=refusal.inner.port if refusal.inner else None,
        container=container,
        containers_known=known,
        revision=refusal.revision,
        reason=refusal.reason,
    )


def _container_of(
    refusal: Refusal, destination: str, inner: str, at: datetime, then: ContainersThen | None
) -> tuple[str, bool]:
    """Return the name of the container that a packet was for, and whether an empty name is certain."""
    if refusal.way == "host":
        return "", True
    if then is None or then.containers is None or abs(then.taken_at - at) > _SAME_MOMENT:
        return "", False
    found = find_container(then.containers, refusal.protocol, refusal.port, destination, inner)
    if len(found) == 1:
        return found[0].compose_name or found[0].name, True
    # A container that came after the reading would not be in it.
    return "", not found and at <= then.taken_at


def _moment(text: str, added: datetime) -> datetime:
    at = datetime.fromisoformat(text)
    return at if added - _MOST_BEHIND <= at <= added + _MOST_AHEAD else added

"""The messages of the kernel's log (NFLOG), taken apart: any bytes give packets or a count of errors.

The numbers are those of linux/netfilter/nfnetlink_log.h and nfnetlink_conntrack.h. packets.py reads the
packet itself, whose bytes anyone on the network may have chosen.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

_HEADER: Final = struct.Struct("=IHHII")
_ATTRIBUTE: Final = struct.Struct("=HH")
_PACKET: Final = 4 << 8
_BODY: Final = 20
_TYPE_BITS: Final = 0x3FFF
_HOOK, _IN, _PAYLOAD, _PREFIX, _SEQUENCE, _CONNTRACK, _CONNTRACK_STATE = 1, 4, 9, 10, 12, 18, 19
_ORIGINAL, _TUPLE_IP, _TUPLE_PROTOCOL = 1, 1, 2
_MOST_ATTRIBUTES: Final = 64


@dataclass(frozen=True, slots=True)
class Dialled:
    """The destination that the client dialled, before DNAT: packed address, protocol number, port if any."""

    address: bytes
    protocol: int
    port: int | None


@dataclass(frozen=True, slots=True)
class Logged:
    """One packet as the kernel logged it; numbers that it did not tell are None."""

    hook: int | None
    incoming: int | None
    payload: bytes
    prefix: bytes
    sequence: int | None
    dialled: Dialled | None


@dataclass(frozen=True, slots=True)
class Datagram:
    """The packets of one read, and how many messages of it could not be read."""

    packets: tuple[Logged, ...]
    errors: int


def read_datagram(raw: bytes) -> Datagram:
    """Take apart what one read of the socket returned."""
    packets: list[Logged] = []
    errors, offset = 0, 0
    while len(raw) - offset >= _HEADER.size:
        length, kind, _, _, _ = _HEADER.unpack_from(raw, offset)
        if length < _HEADER.size or offset + length > len(raw):
            return Datagram(tuple(packets), errors + 1)
        if kind == _PACKET:
            found = _read_packet(raw[offset + _BODY : offset + length])
            if found is None:
                errors += 1
            else:
                packets.append(found)
        offset += length + -length % 4
    return Datagram(tuple(packets), errors + (offset < len(raw)))


def _read_packet(body: bytes) -> Logged | None:
    attributes = dict(_attributes(body))
    if _PAYLOAD not in attributes:
        return None
    hook = attributes.get(_HOOK, b"")
    state = _number(attributes.get(_CONNTRACK_STATE, b""))
    # Established or new, in the direction of the one who dialled.
    original = state in (0, 2)
    return Logged(
        hook=hook[2] if len(hook) >= 4 else None,
        incoming=_number(attributes.get(_IN, b"")),
        payload=attributes[_PAYLOAD],
        prefix=attributes.get(_PREFIX, b"").rstrip(b"\0"),
        sequence=_number(attributes.get(_SEQUENCE, b"")),
        dialled=_read_dialled(attributes.get(_CONNTRACK, b"")) if original else None,
    )


def _read_dialled(conntrack: bytes) -> Dialled | None:
    original = dict(_attributes(dict(_attributes(conntrack)).get(_ORIGINAL, b"")))
    addresses = dict(_attributes(original.get(_TUPLE_IP, b"")))
    protocol = dict(_attributes(original.get(_TUPLE_PROTOCOL, b"")))
    address = addresses.get(2) or addresses.get(4) or b""
    number = protocol.get(1, b"")
    if len(address) not in (4, 16) or len(number) != 1:
        return None
    port = protocol.get(3, b"")
    return Dialled(address, number[0], int.from_bytes(port) if len(port) == 2 else None)


def _attributes(raw: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the attributes up to the first one that is cut off."""
    offset = 0
    for _ in range(_MOST_ATTRIBUTES):
        if len(raw) - offset < _ATTRIBUTE.size:
            return
        length, kind = _ATTRIBUTE.unpack_from(raw, offset)
        if length < _ATTRIBUTE.size or offset + length > len(raw):
            return
        yield kind & _TYPE_BITS, raw[offset + _ATTRIBUTE.size : offset + length]
        offset += length + -length % 4


def _number(raw: bytes) -> int | None:
    return int.from_bytes(raw) if len(raw) == 4 else None

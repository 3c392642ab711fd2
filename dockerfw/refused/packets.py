"""A logged packet as a refusal: its headers are read without trust, and what is not told stays open."""

from __future__ import annotations

import re
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address
from typing import Final, NamedTuple

from dockerfw.iptables.model import Family
from dockerfw.iptables.protocols import PROTOCOLS_WITH_PORTS, protocol_name
from dockerfw.messages.refusals import InnerEnd, Reason, Refusal, Way
from dockerfw.messages.shapes import MAX_INTEGER
from dockerfw.refused.netlink_log import Logged

_PREFIX: Final = re.compile(rb"dockerfw r([0-9]{1,16}) (refused|block|loopback)")
_WAYS: Final[dict[int | None, Way]] = {1: "host", 2: "container"}
_REASONS: Final[dict[bytes, Reason]] = {
    b"refused": "refused",
    b"block": "block",
    b"loopback": "loopback",
}
# IPv6's headers before the one of the protocol: hop-by-hop, routing, destination options.
_EXTENSIONS: Final = (0, 43, 60)
_FRAGMENT: Final = 44
_AUTHENTICATION: Final = 51
_MOST_EXTENSIONS: Final = 8


class NotOurs(ValueError):  # noqa: N818 - it states a fact
    """The packet was logged by a rule of another program."""


class NotReadable(ValueError):  # noqa: N818 - it states a fact
    """The packet is not one that dockerfw's lines can log."""


class _Ends(NamedTuple):
    family: Family
    source: bytes
    destination: bytes
    protocol: int
    port: int | None


def read_refusal(logged: Logged, at: str, interface_name: Callable[[int], str]) -> Refusal:
    """Return a logged packet as a refusal. Raises NotOurs and NotReadable."""
    prefix = _PREFIX.fullmatch(logged.prefix)
    if prefix is None:
        raise NotOurs
    way = _WAYS.get(logged.hook)
    if way is None:
        raise NotReadable
    ends = _read_ends(logged.payload)
    destination, port, inner = ends.destination, ends.port, None
    dialled = logged.dialled
    if (
        dialled is not None
        and len(dialled.address) == len(destination)
        and dialled.protocol == ends.protocol
        and _has_ports(ends.protocol)
        and (dialled.address, dialled.port) != (destination, port)
    ):
        inner = InnerEnd(_address(destination), port)
        destination, port = dialled.address, dialled.port
    return Refusal(
        at=at,
        family=ends.family,
        way=way,
        interface=interface_name(logged.incoming) if logged.incoming else "",
        source=_address(ends.source),
        destination=_address(destination),
        protocol=protocol_name(ends.protocol),
        port=port,
        inner=inner,
        revision=number if 1 <= (number := int(prefix[1])) <= MAX_INTEGER else None,
        reason=_REASONS[prefix[2]],
        count=1,
    )


def _read_ends(packet: bytes) -> _Ends:
    if len(packet) >= 20 and packet[0] >> 4 == 4:
        return _read_ipv4(packet)
    if len(packet) >= 40 and packet[0] >> 4 == 6:
        return _read_ipv6(packet)
    raise NotReadable


def _read_ipv4(packet: bytes) -> _Ends:
    header = (packet[0] & 0xF) * 4
    if header < 20:
        raise NotReadable
    is_first = not int.from_bytes(packet[6:8]) & 0x1FFF
    port = _port(packet, header, packet[9]) if is_first else None
    return _Ends(4, packet[12:16], packet[16:20], packet[9], port)


def _read_ipv6(packet: bytes) -> _Ends:
    following, offset, is_first = packet[6], 40, True
    for _ in range(_MOST_EXTENSIONS):
        if following not in (*_EXTENSIONS, _FRAGMENT, _AUTHENTICATION) or offset + 8 > len(packet):
            break
        length = (packet[offset + 1] + 1) * 8
        if following == _FRAGMENT:
            is_first = not int.from_bytes(packet[offset + 2 : offset + 4]) >> 3
            length = 8
        elif following == _AUTHENTICATION:
            length = (packet[offset + 1] + 2) * 4
        following, offset = packet[offset], offset + length
    port = _port(packet, offset, following) if is_first else None
    return _Ends(6, packet[8:24], packet[24:40], following, port)


def _port(packet: bytes, offset: int, protocol: int) -> int | None:
    if not _has_ports(protocol) or offset + 4 > len(packet):
        return None
    return int.from_bytes(packet[offset + 2 : offset + 4])


def _has_ports(protocol: int) -> bool:
    return protocol_name(protocol) in PROTOCOLS_WITH_PORTS


def _address(packed: bytes) -> str:
    return str(IPv4Address(packed) if len(packed) == 4 else IPv6Address(packed))

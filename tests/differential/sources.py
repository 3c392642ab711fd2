"""Compares the result for all sources of a service with single packets, at the edges of each part."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import Final

from dockerfw.simulation.services import Reach, Service
from tests.differential.evidence import HOST, Shot
from tests.differential.frames import ICMP, ICMPV6, TCP, UDP, Address
from tests.differential.pools import Dice
from tests.differential.world import CONTAINERS, HOST_ADDRESSES, World

_ECHO: Final = {ICMP: 8, ICMPV6: 128}
# Neither a source nor a destination of a packet that comes in.
_MARTIANS: Final = tuple(
    ipaddress.ip_network(text)
    for text in ("0.0.0.0/8", "127.0.0.0/8", "224.0.0.0/3", "::/96", "::ffff:0:0/96", "ff00::/8")
)
# Sources that the kernel refuses before any rule sees them, or treats as its own.
_NO_SOURCES: Final = tuple(
    ipaddress.ip_network(text)
    for text in (
        *("198.51.100.0/32", "198.51.100.255/32"),
        *("203.0.113.0/32", "203.0.113.255/32", "172.17.0.0/32", "172.17.255.255/32"),
        *("172.30.0.0/32", "172.30.255.255/32", "fe80::/10"),
        *(
            f"{address}/{128 if ':' in address else 32}"
            for family in (4, 6)
            for address in HOST_ADDRESSES[family]
        ),
        *("2001:db8:1::/128", "2001:db8:2::/128", "2001:db8:d0c::/128", "2001:db8:d0d::/128"),
    )
)


def service_of(world: World, shot: Shot) -> Service | None:
    """Return the service that a shot is for; None if it is none, or no ordinary client uses it."""
    wire = shot.wire
    if shot.place == HOST:
        return None
    if wire.protocol in (TCP, UDP):
        if wire.source_port < 1024:
            return None
        port = wire.destination_port
    elif wire.icmp_type == _ECHO.get(wire.protocol):
        port = None
    else:
        return None
    interface = f"veth{shot.place}" if shot.place in CONTAINERS else world.interface_of(shot.place)
    return Service(wire.family, wire.protocol, wire.destination, port, interface)


def answer(found: Reach, source: Address) -> str:
    """Return which of the three sets contains a source."""
    holding = [
        name
        for name, each in (("passes", found.passes), ("refused", found.refused), ("unknown", found.unknown))
        if source in each
    ]
    return holding[0] if len(holding) == 1 else f"in {len(holding)} sets"


def edge(found: Reach, dice: Dice) -> Address | None:
    """Return an address at the edge of a part, inside or just outside; None if it cannot be a source."""
    part, _ = dice.one(found.parts)
    networks = part.cidrs()
    if not networks:
        return None
    network = dice.one(networks)
    number = dice.one((int(network[0]), int(network[-1]), int(network[0]) - 1, int(network[-1]) + 1))
    if not 0 < number < 2**network.max_prefixlen:
        return None
    made: Address = type(network[0])(number)
    return made if can_be_source(made) else None


def can_be_source(address: Address) -> bool:
    """Return True if the kernel lets packets with this source come in."""
    return can_be_destination(address) and not _is_in(address, _NO_SOURCES)


def can_be_destination(address: Address) -> bool:
    """Return True if the kernel routes packets to this address that come in."""
    return not _is_in(address, _MARTIANS)


def _is_in(address: Address, networks: Iterable[ipaddress.IPv4Network | ipaddress.IPv6Network]) -> bool:
    return any(address in each for each in networks if each.version == address.version)

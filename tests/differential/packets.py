"""Random packets from all places: to ports of the host, published ports, containers and beyond."""

from __future__ import annotations

import ipaddress
from dataclasses import replace
from typing import Final

from dockerfw.simulation.packet import Packet
from tests.differential.evidence import HOST, Shot
from tests.differential.frames import ICMP, ICMPV6, SCTP, TCP, UDP, Address, Wire
from tests.differential.pools import PORTS, SOURCE_PORTS, STRANGERS, Dice
from tests.differential.world import CONTAINER_ADDRESSES, CONTAINERS, HOST_ADDRESSES, World
from tests.rig.namespace import Family

_FAR: Final[dict[Family, tuple[str, ...]]] = {
    4: ("9.9.9.9", "198.51.100.200", "203.0.113.200", "10.200.0.1"),
    6: ("2620::fe", "2001:db8:1::abcd", "2001:db8:2::abcd", "fd00:2::1"),
}
_BROADCAST: Final = "198.51.100.255"
_ICMP_TYPES: Final[dict[Family, tuple[tuple[int, int], ...]]] = {
    4: ((8, 0), (8, 0), (8, 0), (0, 0), (3, 1), (3, 3), (13, 0), (5, 1), (11, 0)),
    6: ((128, 0), (128, 0), (128, 0), (129, 0), (1, 4), (135, 0), (136, 0), (3, 0), (130, 0)),
}
# ICMP types that start a connection, and those that conntrack ignores (nf_conntrack_proto_icmp*.c).
_BEGINS: Final = {ICMP: (8, 13, 15, 17), ICMPV6: (128, 139)}
_UNTRACKED: Final = (130, 131, 132, 133, 134, 135, 136, 143)
_OTHER_PROTOCOLS: Final = (47, 50, 89, 103)


def make_shot(dice: Dice, family: Family) -> Shot:
    """Return a packet and the place it is sent from."""
    place = dice.one(("left", "left", "left", "left", "right", "right", HOST, *CONTAINERS))
    source, destination, bridged = _ends(dice, family, place)
    icmp = ICMP if family == 4 else ICMPV6
    protocol = dice.one((*(TCP,) * 11, *(UDP,) * 4, *(icmp,) * 4, SCTP, dice.one(_OTHER_PROTOCOLS)))
    if destination == _BROADCAST:
        protocol = UDP
    kind, code = dice.one(_ICMP_TYPES[family]) if protocol in (ICMP, ICMPV6) else (0, 0)
    ported = protocol in (TCP, UDP, SCTP)
    source_port = dice.one(SOURCE_PORTS) if dice.chance(0.3) else dice.number(1024, 65535)
    wire = Wire(
        source=source,
        destination=ipaddress.ip_address(destination),
        protocol=protocol,
        source_port=source_port if ported or protocol in (ICMP, ICMPV6) else 0,
        destination_port=(dice.one(PORTS) if dice.chance(0.9) else dice.number(1, 65535)) if ported else 0,
        icmp_type=kind,
        icmp_code=code,
    )
    return Shot(place, wire, bridged)


def _ends(dice: Dice, family: Family, place: str) -> tuple[Address, str, str]:
    """Return source, destination, and the container that a packet goes to directly."""
    host, containers, far = HOST_ADDRESSES[family], CONTAINER_ADDRESSES[family], _FAR[family]
    if place == HOST:
        destination = dice.one((*containers, *far))
        return ipaddress.ip_address(dice.one(host)), destination, ""
    if place in CONTAINERS:
        own = containers[CONTAINERS.index(place)]
        neighbours = [each for each in _bridge(place) if each != place]
        if dice.chance(0.3):
            other = dice.one(neighbours)
            return ipaddress.ip_address(own), containers[CONTAINERS.index(other)], other
        elsewhere = [
            each for name, each in zip(CONTAINERS, containers, strict=True) if name not in _bridge(place)
        ]
        return ipaddress.ip_address(own), dice.one((*host, *far, *elsewhere)), ""
    if family == 4 and place == "left" and dice.chance(0.02):
        return ipaddress.ip_address(dice.one(STRANGERS[4])), _BROADCAST, ""
    kind = dice.one((host[:3], host[:3], host, containers, containers, far))
    return ipaddress.ip_address(dice.one(STRANGERS[family])), dice.one(kind), ""


def _bridge(place: str) -> tuple[str, ...]:
    return ("shop", "vault") if place in ("shop", "vault") else ("web", "other", "plain")


def to_packet(world: World, shot: Shot) -> Packet:
    """Return the shot as a packet for the simulator."""
    wire = shot.wire
    ported = wire.protocol in (TCP, UDP, SCTP)
    icmp = wire.protocol in (ICMP, ICMPV6)
    at_bridge = shot.place in CONTAINERS
    interface = (
        None if shot.place == HOST else f"veth{shot.place}" if at_bridge else world.interface_of(shot.place)
    )
    return Packet(
        family=wire.family,
        source=wire.source,
        destination=wire.destination,
        protocol=wire.protocol,
        in_interface=interface,
        source_port=wire.source_port if ported else None,
        destination_port=wire.destination_port if ported else None,
        icmp_type=wire.icmp_type if icmp else None,
        icmp_code=wire.icmp_code if icmp else None,
        state=_state(wire),
        mac=None if shot.place == HOST else world.taps[shot.place].mac,
    )


def blur(packet: Packet, dice: Dice) -> Packet:
    """Return the packet without one or all of the fields that are often unknown."""
    without = (
        replace(packet, source_port=None),
        replace(packet, mac=None),
        replace(packet, icmp_code=None),
        replace(packet, source_port=None, mac=None, icmp_code=None),
    )
    return dice.one(without)


def _state(wire: Wire) -> str:
    if wire.protocol in _BEGINS and wire.icmp_type not in _BEGINS[wire.protocol]:
        return "UNTRACKED" if wire.protocol == ICMPV6 and wire.icmp_type in _UNTRACKED else "INVALID"
    return "NEW"

"""The state of a packet before its first rule."""

from __future__ import annotations

from dockerfw.iptables.model import Family
from dockerfw.simulation.packet import Packet
from dockerfw.simulation.state import PacketState
from dockerfw.simulation.surroundings import Surroundings

_LOOPBACK = "lo"
_ICMP: dict[Family, int] = {4: 1, 6: 58}
# ICMP types for which conntrack creates a connection, and those that it does not track
# (nf_conntrack_proto_icmp.c and nf_conntrack_proto_icmpv6.c).
_STARTS_CONNECTION: dict[Family, frozenset[int]] = {4: frozenset({8, 13, 15, 17}), 6: frozenset({128, 139})}
_NOT_TRACKED: dict[Family, frozenset[int]] = {
    4: frozenset(),
    6: frozenset({130, 131, 132, 133, 134, 135, 136, 143}),
}


def make_first_state(packet: Packet, surroundings: Surroundings) -> PacketState:
    """Return the state in which a packet reaches its first rule."""
    in_interface, bridge_port = _incoming_device(packet.in_interface, surroundings)
    looped = packet.in_interface == _LOOPBACK
    return PacketState(
        family=packet.family,
        protocol=packet.protocol,
        destination=int(packet.destination),
        destination_port=packet.destination_port,
        source_port=packet.source_port,
        icmp_type=packet.icmp_type,
        icmp_code=packet.icmp_code,
        in_interface=in_interface,
        bridge_port=bridge_port,
        mac=packet.mac,
        mark=packet.mark,
        connection=_connection_state(packet),
        looped=looped,
        at=surroundings.at,
    )


def _incoming_device(name: str | None, surroundings: Surroundings) -> tuple[str | None, str | None]:
    """Return the incoming interface that rules see, and the port of the bridge behind it."""
    if name is None:
        return "", None
    found = surroundings.interface(name)
    if found is None:
        return name, None if name == _LOOPBACK else ""
    if found.master is None:
        is_bridge = found.kind == "bridge" or any(one.master == name for one in surroundings.interfaces)
        return name, "" if is_bridge else None
    master = surroundings.interface(found.master)
    kind = master.kind if master is not None else ""
    if kind in ("", "bridge"):
        return found.master, name
    return (found.master, None) if kind in ("bond", "team") else (None, "")


def _connection_state(packet: Packet) -> str:
    """Return the state of the packet's connection; conntrack creates none for an unexpected answer."""
    kind = packet.icmp_type
    if packet.state != "NEW" or kind is None or packet.protocol != _ICMP[packet.family]:
        return packet.state
    if kind in _NOT_TRACKED[packet.family]:
        return "UNTRACKED"
    return "NEW" if kind in _STARTS_CONNECTION[packet.family] else "INVALID"

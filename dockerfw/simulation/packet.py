"""The packet that is simulated: the first packet of a connection."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from dockerfw.iptables.model import Family

Address = IPv4Address | IPv6Address


@dataclass(frozen=True, slots=True)
class Packet:
    """A first packet as it enters the host, or as the host sends it if `in_interface` is None.

    A TCP packet is a SYN. No packet is a fragment or has extension headers. Ports, ICMP type and Ethernet
    address are None if they are not known; rules that ask for them are then undecided. `in_interface` may be
    the port of a bridge.
    """

    family: Family
    source: Address
    destination: Address
    protocol: int
    in_interface: str | None
    source_port: int | None = None
    destination_port: int | None = None
    icmp_type: int | None = None
    icmp_code: int | None = None
    state: str = "NEW"
    mark: int = 0
    mac: str | None = None

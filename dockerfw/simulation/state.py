"""What rules can see of a packet at one place of its path, except for its source.

The source is left out because one walk can stand for many sources. None means unknown. An interface that a
packet does not have at a place is the empty text, as the kernel compares it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from dockerfw.iptables.model import Family

PORTS_PROTOCOLS = frozenset({6, 17, 33, 132, 136})
"""The protocols whose ports conntrack and multiport know: tcp, udp, dccp, sctp, udplite."""

Tracking = Literal["before", "tracked", "untracked", "invalid"]
"""What conntrack has done: not reached yet, has a connection, was told not to track, found it invalid."""


@dataclass(frozen=True, slots=True)
class PacketState:
    """A packet at one place of its path; `original_` is the destination before DNAT.

    `bridge_port` is the bridge port that it came in by, None if it crossed no bridge, and empty if the port
    is unknown. `stays` is True if a translation changed the destination to one of the host's own addresses.
    `looped` is True if the packet left by lo and came back. `at` is the moment in UTC seconds.
    """

    family: Family
    protocol: int
    destination: int | None
    destination_port: int | None = None
    source_port: int | None = None
    icmp_type: int | None = None
    icmp_code: int | None = None
    in_interface: str | None = ""
    out_interface: str | None = ""
    bridge_port: str | None = None
    mac: str | None = None
    mark: int | None = 0
    # Bits of the mark that a rule may have changed.
    unsure_bits: int = 0
    connmark: int | None = 0
    tracking: Tracking = "before"
    connection: str = "NEW"
    translated: bool = False
    original_destination: int | None = None
    original_port: int | None = None
    stays: bool = False
    looped: bool = False
    at: int | None = None
    memo: dict[object, bool | None] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def has_ports(self) -> bool:
        """True if the protocol has ports."""
        return self.protocol in PORTS_PROTOCOLS

    @property
    def first(self) -> bool:
        """True if this is the first packet of a tracked connection."""
        return self.tracking == "tracked" and self.connection == "NEW"

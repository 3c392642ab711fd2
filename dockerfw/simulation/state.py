"""Owns what rules can see of a packet on its way, apart from its source.

The source is no part of it, since one walk may stand for many sources. None is what is not known; an
interface that a packet does not have at a place is the empty text, as the kernel compares it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from dockerfw.iptables.model import Family

PORTS_PROTOCOLS = frozenset({6, 17, 33, 132, 136})
"""The protocols that conntrack and multiport know ports of: tcp, udp, dccp, sctp, udplite."""

Tracking = Literal["before", "tracked", "untracked", "invalid"]
"""How far conntrack is: not yet reached, has a connection, told to keep away, made nothing of it."""


@dataclass(frozen=True, slots=True)
class State:
    """A packet at one place of its way; `original_` is the destination before DNAT.

    `bridge_port` is the port of the bridge that it came by, None when it came by no bridge, and empty when
    nobody said by which. `stays` says that a translation made one of the host's own addresses of its
    destination. `looped` says that it went out by lo and came back.
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
    connmark: int | None = 0
    tracking: Tracking = "before"
    connection: str = "NEW"
    translated: bool = False
    original_destination: int | None = None
    original_port: int | None = None
    stays: bool = False
    looped: bool = False
    memo: dict[object, bool | None] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def has_ports(self) -> bool:
        """Say whether the protocol has ports."""
        return self.protocol in PORTS_PROTOCOLS

    @property
    def first(self) -> bool:
        """Say whether this is the first packet of a connection that conntrack follows."""
        return self.tracking == "tracked" and self.connection == "NEW"

"""The facts around a host's rules, as parts of the snapshot: interfaces, ports, sockets, containers, sets.

What the root worker could not find out is empty or None, and never guessed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Literal

from dockerfw.chains.static_sets import MOST_LINES
from dockerfw.iptables.model import Family
from dockerfw.messages.codec import Absent, AtMost, Message
from dockerfw.messages.shapes import (
    Address,
    Count,
    InterfaceAddress,
    InterfaceName,
    OneOf,
    Port,
    Positive,
    Text,
    Time,
    TimeOrNone,
    Whole,
)

CONTAINER_ID = re.compile(r"[0-9a-f]{12}", re.ASCII)
MAX_SOCKETS = 32_768
MAX_PUBLISHED = 65_536
MAX_CONTAINERS = 4096
MAX_CONTAINER_PORTS = 16_384
MAX_LABELS = 256
MAX_SETS = 256
MAX_CONTAINER_SETS = 8192
"""The sets for rules by name are counted apart, because a host with many containers has many of them."""
MAX_STATIC_SETS = 4096
MAX_HITS = 65_536
MAX_SET_MEMBERS = 20_000
MAX_NAME = 255
MAX_ROUTES = 256
"""The routes of one interface, which are the widest if it has more."""
MAX_GROUPS = 64

# The kernel counts to 2^64, a message to 2^53.
Counted = Annotated[int, Whole(capped=True)]
_Name = Annotated[str, Text(MAX_NAME)]
_Word = Annotated[str, Text(64)]


@dataclass(frozen=True, slots=True)
class InterfaceRoute(Message):
    """A route by an interface to a network that is not its own, `to` in CIDR form.

    `gateway` is true if a router is the next hop. `table` is the routing table, empty for `main`, whose
    default routes are in the snapshot itself.
    """

    to: InterfaceAddress
    gateway: bool = False
    table: _Word = ""


@dataclass(frozen=True, slots=True)
class Interface(Message):
    """A network interface of the host with its addresses in CIDR form.

    `master` is the bridge, bond or VRF that it belongs to; `kind` is the kernel's word for its type
    ("bridge", "veth", "wireguard"), empty for a plain device. `parent` is the interface below a VLAN or
    macvlan, empty for all others. `routes` lead to other networks than those of the addresses. `groups` are
    the multicast groups that programs joined on it.
    """

    name: InterfaceName
    addresses: Annotated[tuple[InterfaceAddress, ...], AtMost(4096)]
    up: bool
    master: InterfaceName | None = None
    kind: _Word = ""
    # Release 0.1.0 refuses the keys of these fields.
    parent: Annotated[InterfaceName, Absent.WHEN_EMPTY] = ""
    routes: Annotated[tuple[InterfaceRoute, ...], AtMost(MAX_ROUTES), Absent.WHEN_EMPTY] = ()
    groups: Annotated[tuple[Address, ...], AtMost(MAX_GROUPS), Absent.WHEN_EMPTY] = ()


@dataclass(frozen=True, slots=True)
class PublishedPort(Message):
    """A port that Docker publishes, read from its DNAT rules; `address` is empty when it is any address."""

    family: Family
    protocol: Annotated[str, Text(32)]
    address: _Word
    port: Port
    to_address: _Word
    to_port: Port


@dataclass(frozen=True, slots=True)
class ListeningSocket(Message):
    """A socket of the host that accepts traffic: TCP that listens, UDP that is bound and not connected.

    `address` is empty for any address; a socket of family 6 on any address accepts IPv4 too unless `v6only`.
    `interface` is the one that it is bound to, empty for all. What is not known of its owner is empty:
    `process` is the name, `pid` None when that is not known or several processes share it, `unit` the systemd
    unit, `container` the id (12 digits) of the container in whose control group it was made.
    """

    family: Family
    protocol: Literal["tcp", "udp"]
    address: Address
    port: Port
    v6only: bool = False
    interface: InterfaceName = ""
    process: _Word = ""
    pid: Positive | None = None
    unit: _Name = ""
    container: Annotated[str, Text(12, CONTAINER_ID.fullmatch, "the id of a container", or_empty=True)] = ""


@dataclass(frozen=True, slots=True)
class ContainerPort(Message):
    """A port of a container as Docker reports it: `public` on `address` leads to it; else None."""

    protocol: Annotated[str, OneOf(("tcp", "udp", "sctp"))]
    port: Port
    public: Port | None = None
    address: Address = ""


@dataclass(frozen=True, slots=True)
class Container(Message):
    """A running container as Docker reports it; `project` and `service` are Compose's or a swarm stack's.

    `addresses` are its addresses in all networks, without a length; a container that shares the host's
    network (`network_mode` "host") has none. `labels` are `key=value`, or the key
    alone where no rule can name the value.
    """

    id: Annotated[str, Text(12, CONTAINER_ID.fullmatch, "the id of a container")]
    name: _Name
    project: _Name = ""
    service: _Name = ""
    network_mode: _Name = ""
    addresses: Annotated[tuple[InterfaceAddress, ...], AtMost(1024)] = ()
    ports: Annotated[tuple[ContainerPort, ...], AtMost(MAX_CONTAINER_PORTS)] = ()
    # Release 0.1.0 refuses the key.
    labels: Annotated[tuple[_Name, ...], AtMost(MAX_LABELS), Absent.WHEN_EMPTY] = ()


@dataclass(frozen=True, slots=True)
class SetMembers(Message):
    """An ipset that a rule names, with its members as `ipset save` writes them.

    `members` is None for a set that is too large or could not be read; `kind` is its type (`hash:net`), empty
    when that is not known either; `options` are the rest of its `create` line (`family inet hashsize 1024`).
    """

    name: _Word
    kind: _Word = ""
    members: Annotated[tuple[_Name, ...], AtMost(MAX_SET_MEMBERS)] | None = None
    options: _Name = ""


@dataclass(frozen=True, slots=True)
class StaticSetState(Message):
    """A static set that dockerfw's rules match, as the kernel holds it. Its elements are in the revision.

    `entries` is the number of its elements, None if it could not be read. `intact` is false if they are not
    those in its name. `lost` and `added` count the elements that differ, where that is known, and `lines` are
    the first of them, such as "-192.0.2.1 k3f9".
    """

    name: _Word
    entries: Count | None
    intact: bool = True
    lost: Count = 0
    added: Count = 0
    lines: Annotated[tuple[Annotated[str, Text(400)], ...], AtMost(MOST_LINES)] = ()


@dataclass(frozen=True, slots=True)
class TrackedConnections(Message):
    """How many connections the kernel tracks, and how many it can: beyond that it drops new ones."""

    count: Counted
    most: Counted


@dataclass(frozen=True, slots=True)
class RuleHits(Message):
    """The packets and bytes that the elements of static sets have let through for one rule."""

    id: _Word
    packets: Counted
    bytes: Counted


@dataclass(frozen=True, slots=True)
class RuleUse(Message):
    """When the counters of a rule moved last, by the time of the look that found it; empty for never.

    This is known since `since`, empty for the time from which all rules are counted.
    """

    id: _Word
    last: TimeOrNone = ""
    since: TimeOrNone = ""


@dataclass(frozen=True, slots=True)
class RuleUses(Message):
    """The use of the rules that are loaded, known from `since` on. `unused` are those without any since then.

    The others are in `rules`. A rule that is in neither is not loaded.
    """

    since: Time
    unused: Annotated[tuple[_Word, ...], AtMost(MAX_HITS)] = ()
    rules: Annotated[tuple[RuleUse, ...], AtMost(MAX_HITS)] = ()

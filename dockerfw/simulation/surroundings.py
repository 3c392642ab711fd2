"""The host around the rules: interfaces, routes and sets, and where a destination is routed.

The caller passes in what it knows of the host. Forwarding is assumed to be on. The only routes are the
networks of the host's own interfaces and the default routes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface
from types import MappingProxyType

from dockerfw.iptables.model import Family

LOCAL = "local"

_V4_LOOPBACK = 127 << 24
_V4_MULTICAST = 224 << 24
_ALL_HOSTS = {4: {_V4_MULTICAST | 1, 0xFFFFFFFF}, 6: {(0xFF02 << 112) | 1}}


@dataclass(frozen=True, slots=True)
class HostInterface:
    """A network interface of the host with its addresses; `master` is the bridge it belongs to.

    `kind` is the kind that `ip -details link` prints ("bridge", "veth"), and empty if unknown. `parent` is
    the interface below a VLAN or macvlan.
    """

    name: str
    addresses: tuple[IPv4Interface | IPv6Interface, ...]
    up: bool
    master: str | None = None
    kind: str = ""
    parent: str = ""


@dataclass(frozen=True, slots=True)
class IpSet:
    """An ipset: its type ("hash:ip"), the options of its `create` line, and its members as in `ipset save`.

    A member is the text after `add NAME`, such as "192.0.2.0/24 nomatch". Members are None if there were too
    many to read; conditions on the set are then undecided.
    """

    name: str
    type: str
    members: tuple[str, ...] | None
    options: str = ""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The host around the rules.

    `bridges_filtered` is True for a family if br_netfilter sends bridged packets through the rules too. A
    family for which this is unknown is left out. `known` is False if interfaces or routes could not be read.
    """

    interfaces: tuple[HostInterface, ...] = ()
    default_routes: Mapping[Family, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))
    sets: Mapping[str, IpSet] = field(default_factory=lambda: MappingProxyType({}))
    bridges_filtered: Mapping[Family, bool] = field(default_factory=lambda: MappingProxyType({}))
    known: bool = True

    def interface(self, name: str) -> HostInterface | None:
        """Return the interface with this name, or None."""
        return next((interface for interface in self.interfaces if interface.name == name), None)

    def addresses(
        self, family: Family, interface: str | None = None
    ) -> tuple[tuple[str, IPv4Interface | IPv6Interface], ...]:
        """Return (interface, address) for every interface that is up, or for one."""
        return tuple(
            (found.name, address)
            for found in self.interfaces
            if found.up and interface in (None, found.name)
            for address in found.addresses
            if address.version == family
        )

    def route(
        self, family: Family, destination: IPv4Address | IPv6Address, in_interface: str | None
    ) -> str | None:
        """Return where a packet goes: "local", the interface it leaves by, or None if unknown."""
        value = int(destination)
        if family == 4 and value >> 24 == _V4_LOOPBACK >> 24:
            return LOCAL
        if (family == 6 and value == 1) or value in _ALL_HOSTS[family]:
            return LOCAL
        if destination.is_multicast or (family == 6 and destination.is_link_local):
            own = any(address.ip == destination for _, address in self.addresses(family))
            return LOCAL if own else None
        best = -1
        interfaces: set[str] = set()
        for name, address in self.addresses(family):
            if address.ip == destination:
                return LOCAL
            if destination not in address.network:
                continue
            network, bits = address.network, address.network.prefixlen
            if family == 4 and bits < 31 and destination == network.broadcast_address:
                return LOCAL if name == in_interface else None
            if family == 6 and bits < 127 and destination == network.network_address:
                return None  # the routers' anycast address, which is the host's own where it forwards
            if bits > best:
                best, interfaces = bits, {name}
            elif bits == best:
                interfaces.add(name)
        if best < 0:
            interfaces = set(self.default_routes.get(family, ()))
        return interfaces.pop() if len(interfaces) == 1 else None

"""The host around the rules: interfaces, routes and sets, and where a destination is routed.

The caller passes in what it knows of the host. Forwarding is assumed to be on. The only routes are the
networks of the host's own interfaces, the routes to other networks and the default routes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network
from types import MappingProxyType

from dockerfw.iptables.model import Family

LOCAL = "local"
LOOPBACK = "lo"

_V4_LOOPBACK = 127 << 24
_V4_MULTICAST = 224 << 24
_ALL_HOSTS = {4: {_V4_MULTICAST | 1, 0xFFFFFFFF}, 6: {(0xFF02 << 112) | 1}}


# Pairs such as 0.0.0.0/1 and 128.0.0.0/1 replace a default route, and 2000::/3 is all of the IPv6 internet.
_DEFAULT_LENGTHS = {4: 1, 6: 3}


@dataclass(frozen=True, slots=True)
class StaticRoute:
    """A route by an interface to another network; `table` is the routing table, empty for `main`."""

    network: IPv4Network | IPv6Network
    gateway: bool = False
    table: str = ""

    @property
    def is_default(self) -> bool:
        """True if the route leads to half of the internet or more."""
        return self.network.prefixlen <= _DEFAULT_LENGTHS[self.network.version]


@dataclass(frozen=True, slots=True)
class HostInterface:
    """A network interface of the host with its addresses; `master` is the bridge it belongs to.

    `kind` is the kind that `ip -details link` prints ("bridge", "veth"), and empty if unknown. `parent` is
    the interface below a VLAN or macvlan. `routes` lead to other networks than those of the addresses.
    `groups` are the multicast groups that programs joined on it.
    """

    name: str
    addresses: tuple[IPv4Interface | IPv6Interface, ...]
    up: bool
    master: str | None = None
    kind: str = ""
    parent: str = ""
    routes: tuple[StaticRoute, ...] = ()
    groups: tuple[IPv4Address | IPv6Address, ...] = ()


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
    `at` is the moment in UTC seconds by the host's clock, at which packets arrive.
    """

    interfaces: tuple[HostInterface, ...] = ()
    default_routes: Mapping[Family, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))
    sets: Mapping[str, IpSet] = field(default_factory=lambda: MappingProxyType({}))
    bridges_filtered: Mapping[Family, bool] = field(default_factory=lambda: MappingProxyType({}))
    known: bool = True
    at: int | None = None

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

    def static_routes(self, family: Family) -> tuple[tuple[str, StaticRoute], ...]:
        """Return (interface, route) for the routes of interfaces that are up, without default routes."""
        return tuple(
            (found.name, route)
            for found in self.interfaces
            if found.up
            for route in found.routes
            if route.network.version == family and not route.is_default
        )

    def route(
        self, family: Family, destination: IPv4Address | IPv6Address, in_interface: str | None
    ) -> str | None:
        """Return where a packet goes: "local", the interface it leaves by, or None if unknown.

        `in_interface` is None for a packet that the host sends. Broadcast packets that arrive stay, whichever
        interface their network is on, and multicast packets if the interface is in the group.
        """
        arrives = in_interface is not None
        value = int(destination)
        if family == 4 and value >> 24 == _V4_LOOPBACK >> 24:
            return LOCAL
        if (family == 6 and value == 1) or (arrives and value in _ALL_HOSTS[family]):
            return LOCAL
        if destination.is_multicast:
            joined = any(destination in each.groups for each in self.interfaces if each.name == in_interface)
            return LOCAL if joined else None
        if family == 6 and destination.is_link_local:
            return self._route_on_link(destination, in_interface)
        best = -1
        interfaces: set[str] = set()
        for name, address in self.addresses(family):
            if address.ip == destination:
                return LOCAL
            if destination not in address.network:
                continue
            network, bits = address.network, address.network.prefixlen
            if family == 4 and bits < 31 and destination == network.broadcast_address:
                return LOCAL if arrives else None
            if _is_anycast(destination, network):
                return LOCAL if arrives else None
            if bits > best:
                best, interfaces = bits, {name}
            elif bits == best:
                interfaces.add(name)
        for name, route in self.static_routes(family):
            # Rules decide which table the kernel looks in: here the smallest network of all decides.
            bits = route.network.prefixlen
            if bits >= best and destination in route.network:
                interfaces = {name} if bits > best else {*interfaces, name}
                best = bits
        if best < 0:
            interfaces = set(self.default_routes.get(family, ()))
        return interfaces.pop() if len(interfaces) == 1 else None

    def _route_on_link(self, destination: IPv4Address | IPv6Address, in_interface: str | None) -> str | None:
        """Return where a packet to a link-local address goes: each link has addresses of its own.

        One that arrives for another address of the link leaves by the same link.
        """
        link = None if in_interface == LOOPBACK else in_interface
        if link is not None and (found := self.interface(link)) and found.master:
            link = found.master
        addresses = [address for _, address in self.addresses(6, link)]
        if any(address.ip == destination for address in addresses):
            return LOCAL
        if any(_is_anycast(destination, address.network) for address in addresses):
            return LOCAL if in_interface is not None else None
        return link if any(destination in address.network for address in addresses) else None


def _is_anycast(destination: IPv4Address | IPv6Address, network: IPv4Network | IPv6Network) -> bool:
    """Return True for the address of all routers of an IPv6 network, which a host that forwards has too."""
    return network.version == 6 and network.prefixlen < 127 and destination == network.network_address

"""Ways in: the interfaces that packets from outside arrive on, and those without the rules for containers.

Packets to containers meet dockerfw's rules only if they arrive on an external interface. Packets to the host
meet them on every interface that is not trusted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv4Network, IPv6Interface, IPv6Network, ip_network
from typing import Final, Literal

from dockerfw.chains import sentences
from dockerfw.document.fields import interfaces_overlap
from dockerfw.document.values import Settings
from dockerfw.iptables.model import FAMILIES, Family
from dockerfw.iptables.networks import family_of
from dockerfw.simulation.surroundings import HostInterface, StaticRoute, Surroundings

WayInCode = Literal[
    "interfaces-unread",
    "no-external-interface",
    "interface-missing",
    "interface-idle",
    "interface-uncovered",
]

_Address = IPv4Interface | IPv6Interface

_LOOPBACK: Final = "lo"
# Ends of containers and VMs. A bridge with only such ports leads to them and not to the outside.
_VIRTUAL_ENDS: Final = frozenset(("veth", "tun"))
# Interfaces that take some of the packets of the interface below them.
ON_TOP: Final = frozenset(("vlan", "macvlan", "macvtap", "ipvlan", "ipvtap"))
_SAME_LINK: Final = frozenset(("macvlan", "macvtap", "ipvlan", "ipvtap"))
_PRIVATE: Final = tuple(
    ip_network(text)
    for text in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"),
        *("192.168.0.0/16", "::/127", "fc00::/7", "fe80::/10", "fec0::/10"),
    )
)


@dataclass(frozen=True, slots=True)
class WayInProblem:
    """A way in that the rules for containers miss, or an external interface that is none; a sentence."""

    code: WayInCode
    message: str


def outside_interfaces(settings: Settings, surroundings: Surroundings) -> tuple[HostInterface, ...]:
    """Return the interfaces that packets from outside arrive on, chosen as external or not.

    Without a choice they are those with a default route, a route to another network or a public address.
    There are none if the host's interfaces or routes could not be read: the answer is unknown then.
    """
    if not surroundings.known:
        return ()
    ways = _WaysIn(settings, surroundings)
    return tuple(each for each in surroundings.interfaces if ways.is_external(each.name) or ways.reason(each))


def inside_interfaces(settings: Settings, surroundings: Surroundings) -> tuple[HostInterface, ...]:
    """Return the other interfaces that lead to clients, such as a VPN's, without bridges of containers."""
    ways = _WaysIn(settings, surroundings)
    outside = {each.name for each in outside_interfaces(settings, surroundings)}
    return tuple(
        each for each in surroundings.interfaces if each.name not in outside and ways.leads_out(each)
    )


def find_ways_in_problems(
    settings: Settings, surroundings: Surroundings, *, docker: bool
) -> tuple[WayInProblem, ...]:
    """Return each external interface that no packet arrives on, and each way in that is not external.

    Without `docker` there is nothing to bypass where no external interface is chosen.
    """
    names = settings.external_interfaces
    if not names:
        return (WayInProblem("no-external-interface", sentences.NO_EXTERNAL_INTERFACE),) if docker else ()
    if not surroundings.known:
        return (WayInProblem("interfaces-unread", sentences.INTERFACES_UNREAD),)
    ways = _WaysIn(settings, surroundings)
    missing = [name for name in names if not ways.find(name)]
    if any(map(ways.find, names)):
        # A pattern such as ppp+ may stand for nothing at times.
        missing = [name for name in missing if not name.endswith("+")]
    found = [WayInProblem("interface-missing", sentences.interface_missing(name)) for name in missing]
    for each in surroundings.interfaces:
        if ways.is_external(each.name):
            found += [WayInProblem("interface-idle", words) for words in ways.idle(each)]
        elif reason := ways.reason(each):
            found.append(WayInProblem("interface-uncovered", reason))
    if not found and ways.nothing_arrives():
        found.append(WayInProblem("interface-idle", sentences.nothing_arrives(names)))
    return tuple(found)


class _WaysIn:
    """The interfaces of one host, looked at with one choice of external and trusted ones."""

    def __init__(self, settings: Settings, surroundings: Surroundings) -> None:
        self._settings = settings
        self._around = surroundings
        self._by_name = {each.name: each for each in surroundings.interfaces}
        self._external = {each.name: each for each in surroundings.interfaces if self.is_external(each.name)}
        self._networks = {
            address.network: each.name
            for each in self._external.values()
            for address in each.addresses
            if not address.ip.is_link_local
        }
        self._ports: dict[str, list[HostInterface]] = {}
        for each in surroundings.interfaces:
            if each.master:
                self._ports.setdefault(each.master, []).append(each)

    def is_external(self, name: str) -> bool:
        """Return True if the settings name an interface as external."""
        return _is_one_of(name, self._settings.external_interfaces)

    def find(self, pattern: str) -> bool:
        """Return True if the host has an interface of this name."""
        if not pattern.endswith("+"):
            return pattern in self._by_name
        return any(interfaces_overlap(name, pattern) for name in self._by_name)

    def reason(self, interface: HostInterface) -> str:
        """Return why packets from outside arrive on an interface that is not external; empty if none do."""
        name = interface.name
        if name == _LOOPBACK or interface.kind == "dummy" or not interface.up or interface.master:
            return ""
        if self.is_external(name):
            return ""
        trusted = _is_one_of(name, self._settings.trusted_interfaces)
        describe = sentences.trusted_default_route if trusted else sentences.default_route
        if families := self._default_families(name):
            return describe(name, families)
        for route in self._routes(interface):
            if route.is_default:
                return describe(name, [family_of(route.network.network_address)], route.table)
        return "" if trusted else next(self._reasons(interface), "")

    def _reasons(self, interface: HostInterface) -> Iterator[str]:
        name = interface.name
        for port in self._all_ports(name):
            if port.name in self._external:
                yield sentences.takes_packets_of(name, port.name)
        if self._leads_inside(interface):
            return
        if interface.kind in _SAME_LINK and interface.parent in self._external:
            yield sentences.takes_packets_of(name, interface.parent)
        for address in _usable(interface):
            if not _is_private(ip_network(address.ip)):
                yield sentences.public_address(name, str(address.ip))
            for network, other in self._networks.items():
                if address.version == network.version and address.network.overlaps(network):
                    yield sentences.same_network(name, str(network), other)
        for route in self._routes(interface):
            if _leads_outside(route, interface):
                yield sentences.static_route(name, str(route.network))

    def idle(self, interface: HostInterface) -> Iterator[str]:
        """Yield why no packet arrives on an external interface."""
        top = self._top(interface)
        if top is not interface:
            if top.name not in self._external:
                yield sentences.is_port_of(interface.name, top.name)
            return
        if any(_usable(interface)) or self._has_default_route(interface):
            return
        for each in self._around.interfaces:
            inner = each.kind in ON_TOP and each.parent == interface.name and each.up
            if inner and any(_usable(each)) and each.name not in self._external:
                yield sentences.addresses_on_top(interface.name, each.name)

    def nothing_arrives(self) -> bool:
        """Return True if only interfaces that are neither external nor trusted have addresses."""
        if any(self._may_arrive(self._top(each)) for each in self._external.values()):
            return False
        return any(
            self.leads_out(each) and not _is_one_of(each.name, self._settings.trusted_interfaces)
            for each in self._around.interfaces
        )

    def leads_out(self, interface: HostInterface) -> bool:
        """Return True if other machines may send packets to an interface."""
        inert = interface.name == _LOOPBACK or interface.kind == "dummy" or bool(interface.master)
        return self._may_arrive(interface) and not inert and not self._leads_inside(interface)

    def _may_arrive(self, interface: HostInterface) -> bool:
        # The addresses of a VRF are those of its interfaces.
        has_way = any(_usable(interface)) or self._has_default_route(interface)
        return interface.up and (has_way or interface.kind == "vrf")

    def _default_families(self, name: str) -> list[Family]:
        return [family for family in FAMILIES if name in self._around.default_routes.get(family, ())]

    def _has_default_route(self, interface: HostInterface) -> bool:
        routes = self._routes(interface)
        return bool(self._default_families(interface.name)) or any(route.is_default for route in routes)

    def _routes(self, interface: HostInterface) -> Iterator[StaticRoute]:
        """Yield the routes by an interface; those by a port of a VRF lead by the VRF."""
        ports = self._all_ports(interface.name) if interface.kind == "vrf" else ()
        for each in (interface, *ports):
            yield from each.routes

    def _top(self, interface: HostInterface) -> HostInterface:
        """Return the bridge, bond or VRF that an interface's packets arrive on, at first or in the end."""
        seen = {interface.name}
        while interface.master and interface.master not in seen and interface.master in self._by_name:
            seen.add(interface.master)
            interface = self._by_name[interface.master]
        return interface

    def _all_ports(self, name: str) -> Iterator[HostInterface]:
        """Yield the ports of a bridge or bond, and theirs."""
        left, seen = [name], {name}
        while left:
            for port in self._ports.get(left.pop(), ()):
                if port.name not in seen:
                    seen.add(port.name)
                    left.append(port.name)
                    yield port

    def _leads_inside(self, interface: HostInterface) -> bool:
        """Return True for a bridge of containers or VMs: it has no port that leads out of the host."""
        return interface.kind == "bridge" and all(
            port.kind in _VIRTUAL_ENDS for port in self._ports.get(interface.name, ())
        )


def _usable(interface: HostInterface) -> Iterator[_Address]:
    return (each for each in interface.addresses if not each.ip.is_link_local and not each.ip.is_loopback)


def _is_private(network: IPv4Network | IPv6Network) -> bool:
    return any(_contains(private, network) for private in _PRIVATE)


def _contains(outer: IPv4Network | IPv6Network, inner: IPv4Network | IPv6Network) -> bool:
    mine, other = int(outer.network_address), int(inner.network_address)
    bits = outer.max_prefixlen - outer.prefixlen
    return (
        outer.version == inner.version
        and outer.prefixlen <= inner.prefixlen
        and mine >> bits == other >> bits
    )


def _leads_outside(route: StaticRoute, interface: HostInterface) -> bool:
    """Return True if a route leads to a network that is not the interface's own.

    An interface with a whole address (/32 or /128) has the network around it only as a route. A route to one
    private address without a router is that of a peer in a VPN.
    """
    network = route.network
    if network.is_link_local or network.is_multicast or network.is_loopback:
        return False
    for address in interface.addresses:
        single = address.network.num_addresses == 1
        if _contains(*((network, address.network) if single else (address.network, network))):
            return False
    return route.gateway or network.num_addresses > 1 or not _is_private(network)


def _is_one_of(name: str, patterns: Sequence[str]) -> bool:
    return any(interfaces_overlap(name, pattern) for pattern in patterns)

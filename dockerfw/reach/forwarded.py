"""Destinations behind a host that are no container's: virtual machines, routed networks, forwarded addresses.

Only what arrives on an external interface meets dockerfw's rules. forwarded_reach.py asks which sources reach
a destination.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_network
from itertools import islice
from typing import Final

from dockerfw.chains.forward_accepts import ForwardAccept, find_forward_accepts
from dockerfw.chains.redirects import find_wide_forwards
from dockerfw.document.fields import interfaces_overlap, port_range
from dockerfw.document.values import Document
from dockerfw.iptables.model import Family
from dockerfw.reach.container_networks import container_bridges
from dockerfw.reach.listening import Address, RunningContainer
from dockerfw.simulation.addresses import LAST, AddressSet, Network
from dockerfw.simulation.simulate import Prepared
from dockerfw.simulation.surroundings import Surroundings

MOST_DESTINATIONS: Final = 32
MOST_PORTS: Final = 4
# Addresses of a network that are tried until one is neither the host's own nor named by a smaller network.
_TRIES: Final = 64

Ports = tuple[str, tuple[int, int]]
"""A protocol with its first and last port."""


@dataclass(frozen=True, slots=True)
class Destination:
    """A network behind the host. `interface` is the one that leads there, empty if unknown.

    `address` stands for all of its addresses. `dialled` is the one that clients dial, another one where a
    rule of others changes it: `ports` are those that the rule forwards then, every port if there are none.
    Else they are those that rules of others or open connections name.
    """

    family: Family
    network: Network
    interface: str
    address: Address
    dialled: Address
    ports: tuple[Ports, ...] = ()

    @property
    def named_only(self) -> bool:
        """True if nothing but the named ports is forwarded there."""
        return self.dialled != self.address and bool(self.ports)

    @property
    def text(self) -> str:
        """The network as people write it: `192.168.122.0/24`, `192.168.122.9`."""
        single = self.network.prefixlen == self.network.max_prefixlen
        return str(self.network.network_address if single else self.network)


@dataclass(frozen=True, slots=True)
class Destinations:
    """The destinations of a host; `more` is the number of those that were left out."""

    found: tuple[Destination, ...] = ()
    more: int = 0


@dataclass(frozen=True, slots=True)
class OpenConnections:
    """Connections that are open to an address behind the host, by the port that clients dialled."""

    destination: Address
    protocol: str
    port: int | None


@dataclass(slots=True)
class _Found:
    interface: str
    ports: dict[Ports, None] = field(default_factory=dict)


def find_destinations(
    prepared: Mapping[Family, Prepared],
    documents: Sequence[Document | None],
    containers: Sequence[RunningContainer] | None,
    connections: Iterable[OpenConnections],
    external: Sequence[str],
) -> Destinations:
    """Return the destinations that interfaces, routes, rules of others, documents or connections tell of.

    `prepared` are the rules of the kernel, `external` the external interfaces. Without any, those of default
    routes are.
    """
    opened = tuple(connections)
    found: list[Destination] = []
    more = 0
    for family, each in prepared.items():
        search = _Family(prepared, family, each, containers, external)
        search.gather(
            (*_of_documents(documents, family), *find_forward_accepts(each.ruleset, family)),
            [one for one in opened if one.destination.version == family],
        )
        some = list(islice(search.destinations(), MOST_DESTINATIONS - len(found)))
        more += search.count - len(some)
        found += some
    return Destinations(tuple(found), more)


class _Family:
    """The destinations of one family."""

    def __init__(
        self,
        prepared: Mapping[Family, Prepared],
        family: Family,
        rules: Prepared,
        containers: Sequence[RunningContainer] | None,
        external: Sequence[str],
    ) -> None:
        self._family: Family = family
        self._ruleset = rules.ruleset
        self._around: Surroundings = rules.surroundings
        self._outside = {
            each.name
            for each in self._around.interfaces
            if any(each.name in names for names in self._around.default_routes.values())
            or any(interfaces_overlap(each.name, name) for name in external)
        }
        live = {version: each.ruleset for version, each in prepared.items()}
        bridges = container_bridges(self._around.interfaces, live, containers, external)
        self._bridges = {each.name for each in bridges}
        taken = [address.network for each in bridges for address in each.addresses]
        taken += [ip_network(one) for each in containers or () for one in each.addresses]
        self._taken = AddressSet.of(family, [each for each in taken if each.version == family])
        self._own = {address.ip for each in self._around.interfaces for address in each.addresses}
        # By network, and the address that clients dial instead where a rule of others changes it.
        self._found: dict[tuple[Network, Address | None], _Found] = {}

    @property
    def count(self) -> int:
        """The number of destinations."""
        return len(self._found)

    def gather(self, accepts: Sequence[ForwardAccept], connections: Sequence[OpenConnections]) -> None:
        """Collect the networks of the destinations, with the ports that are named."""
        of_interface: dict[str, list[Ports]] = {}
        for each in accepts:
            if each.network is None:
                of_interface.setdefault(each.interface, []).extend(each.ports)
        for interface, network in self._networks():
            self._add(network, interface, of_interface.get(interface, ()))
        for each in accepts:
            if each.network is not None:
                self._add(each.network, each.interface, (*each.ports, *of_interface.get(each.interface, ())))
        for forward in find_wide_forwards(self._ruleset, self._family):
            if forward.to_address is not None:
                ports = (forward.protocol, (max(1, forward.port), forward.last_port))
                named = [ports] if forward.protocol else []
                self._add(ip_network(forward.to_address), "", named, self._dialled(forward.address))
        for one in connections:
            port = (one.port, one.port) if one.port is not None else None
            self._add(ip_network(one.destination), "", [(one.protocol, port)] if port else [])

    def destinations(self) -> Iterator[Destination]:
        """Yield the destinations for which an address stands."""
        for (network, dialled), known in self._found.items():
            address = self._sample(network)
            if address is not None:
                yield Destination(
                    family=self._family,
                    network=network,
                    interface=known.interface or self._route(address),
                    address=address,
                    dialled=dialled or address,
                    ports=tuple(known.ports)[:MOST_PORTS],
                )

    def _networks(self) -> Iterator[tuple[str, Network]]:
        """Yield the networks of interfaces that lead neither to the outside nor to containers, and routes."""
        inner = [
            each
            for each in self._around.interfaces
            if each.up and each.name not in self._outside and each.name not in self._bridges
        ]
        for each in inner:
            for address in each.addresses:
                wide = address.network.num_addresses > 1
                if address.version == self._family and wide and not address.is_link_local:
                    yield each.name, address.network
        names = {each.name for each in inner}
        for name, route in self._around.static_routes(self._family):
            if name in names:
                yield name, route.network

    def _add(
        self,
        network: Network,
        interface: str,
        ports: Iterable[Ports] = (),
        dialled: Address | None = None,
    ) -> None:
        """Add a network, unless it is a container's or the host's own."""
        if network.prefixlen == 0 or network.is_loopback or network.is_multicast or network.is_link_local:
            return
        if self._is_taken(network):
            return
        if network.network_address in self._own and network.prefixlen == network.max_prefixlen:
            return
        known = self._found.setdefault((network, dialled), _Found(interface))
        known.ports.update(dict.fromkeys(ports))

    def _is_taken(self, network: Network) -> bool:
        """Return True if all of a network belongs to containers."""
        first, last = int(network.network_address), int(network.broadcast_address)
        place = bisect_right(self._taken.intervals, (first, LAST[6])) - 1
        return place >= 0 and self._taken.intervals[place][1] >= last

    def _dialled(self, address: Address | None) -> Address | None:
        """Return an address that clients dial: that of a rule, else the first one from outside."""
        if address is not None:
            return address
        own = (
            address.ip
            for name, address in self._around.addresses(self._family)
            if name in self._outside and not address.is_link_local
        )
        return next(own, None)

    def _route(self, address: Address) -> str:
        return self._around.route(self._family, address, None) or ""

    def _sample(self, network: Network) -> Address | None:
        """Return an address of a network that is not the host's own and in no smaller destination."""
        if network.prefixlen == network.max_prefixlen:
            return network.network_address
        smaller = [
            other
            for other, _ in self._found
            if other.prefixlen > network.prefixlen and other.network_address in network
        ]
        # The first address of a network and the last are no machine's, except for networks of two.
        edge = 0 if network.prefixlen == network.max_prefixlen - 1 else 1
        first, last = edge, network.num_addresses - 1 - edge
        for number in range(last, max(first - 1, last - _TRIES), -1):
            address = network[number]
            free = address not in self._own and address not in self._taken
            if free and not any(address in other for other in smaller):
                return address
        return None


def _of_documents(documents: Sequence[Document | None], family: Family) -> Iterator[ForwardAccept]:
    """Yield what rules for forwarded traffic name, each destination once."""
    rules = [rule for each in documents if each for rule in each.rules if rule.enabled and rule.to]
    ports: dict[str, dict[Ports, None]] = {}
    for rule in rules:
        if family in rule.families:
            named = ports.setdefault(rule.to, {})
            named.update(((rule.protocol, port_range(port)), None) for port in rule.ports)
    for to, named in ports.items():
        yield ForwardAccept(family, ip_network(to), "", tuple(named))

"""The ends of a packet: its addresses, from names or defaults, and the interface that it arrives on.

Guesses from networks, default routes and published ports are listed as sentences.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass

from dockerfw.document.fields import Problems, shown, suggestion
from dockerfw.iptables.model import FAMILY_NAMES, Family
from dockerfw.iptables.networks import family_of
from dockerfw.iptables.protocols import protocol_number
from dockerfw.reach import question_sentences
from dockerfw.reach.listening import Address, RunningContainer
from dockerfw.simulation.surroundings import HostInterface, StaticRoute, Surroundings


@dataclass(frozen=True, slots=True)
class End:
    """One end of the packet: an address, or a container whose address depends on the rest of the question."""

    address: Address | None = None
    container: RunningContainer | None = None
    host: bool = False

    @property
    def typed_family(self) -> Family | None:
        """The family of the typed address."""
        if self.address is None:
            return None
        return family_of(self.address)

    @property
    def family(self) -> Family | None:
        """The family of the address, or the one family of the container's addresses."""
        if self.address is not None:
            return self.typed_family
        if self.container is not None:
            found = {address.version for address in self.container.addresses}
            if len(found) == 1:
                return 4 if found == {4} else 6
        return None


class PacketEnds:
    """Finds the ends of one packet; errors are added to `findings`, guesses to `guesses`."""

    def __init__(
        self, surroundings: Surroundings, family: Family, findings: Problems, guesses: list[str]
    ) -> None:
        """Start without any end."""
        self.surroundings = surroundings
        self.family = family
        self.findings = findings
        self.guesses = guesses

    def source_address(self, end: End) -> Address | None:
        """Return the source address."""
        if end.address is not None:
            return end.address
        if end.container is not None and not end.container.on_host_network:
            return self._container_address(end.container, "source")
        address = self._own_address()
        if address is None:
            self.findings.error("source", question_sentences.host_address_unknown(self.family))
        return address

    def _own_address(self, interface: HostInterface | None = None) -> Address | None:
        """Return the host's address on an interface, else on that of the default route, else on any."""
        known = self.surroundings.interfaces
        ways = [each for each in known if each.name in self.surroundings.default_routes.get(self.family, ())]
        groups = ([interface] if interface else [], ways, known)
        found = (_main_address(group, self.family) for group in groups)
        return next((address for address in found if address is not None), None)

    def _container_address(self, container: RunningContainer, field: str) -> Address | None:
        for address in container.addresses:
            if address.version == self.family:
                return address
        self.findings.error(field, f"{container.name} has no {FAMILY_NAMES[self.family]} address")
        return None

    def interface(self, source: Address, name: str) -> HostInterface | None:
        """Return the incoming interface, named or guessed; None if the host itself sends the packet."""
        if name:
            return self._named_interface(name)
        interfaces = self.surroundings.interfaces
        if any(source == each.ip for interface in interfaces for each in interface.addresses):
            self.guesses.append(question_sentences.sent_by_host(source))
            return None
        if source.is_loopback:
            self.guesses.append(question_sentences.sent_by_host(source))
            return None
        near = _nearest(self.surroundings, source)
        if near is not None:
            interface, route = near
            self.guesses.append(
                question_sentences.arrives_from_network(interface.name, source)
                if route is None
                else question_sentences.arrives_by_route(interface.name, str(route.network))
            )
            return interface
        ways = self.surroundings.default_routes.get(self.family, ())
        for way in ways:
            self.guesses.append(question_sentences.arrives_from_default_route(way, self.family, ways[1:]))
            return _interface_named(interfaces, way) or HostInterface(way, (), True)
        self.findings.error("interface", question_sentences.no_way_in(source, self.family))
        return None

    def _named_interface(self, name: str) -> HostInterface | None:
        interfaces = self.surroundings.interfaces
        found = _interface_named(interfaces, name)
        if found is None and interfaces:
            hint = suggestion(name, [each.name for each in interfaces])
            self.findings.error("interface", question_sentences.no_such_interface(shown(name), hint))
        return found or HostInterface(name, (), True)

    def destination_address(
        self, end: End, protocol: int, port: int | None, interface: HostInterface | None
    ) -> Address | None:
        """Return the destination address that the client uses."""
        if end.address is not None:
            return end.address
        if end.container is None or end.container.on_host_network:
            reason = question_sentences.uses_host_network(end.container.name) if end.container else ""
            return self._host_address(interface, reason)
        return self._published_address(end.container, protocol, port, interface)

    def _published_address(
        self,
        container: RunningContainer,
        protocol: int,
        port: int | None,
        interface: HostInterface | None,
    ) -> Address | None:
        """Return the address that clients use for a container's port: the host's if it is published."""
        inside = interface is not None and any(
            address in each.network for address in container.addresses for each in interface.addresses
        )
        if not inside:
            for each in container.publications:
                if each.port == port and protocol_number(each.protocol) == protocol:
                    if each.address is not None and each.address.version == self.family:
                        self.guesses.append(
                            question_sentences.destination_is_published(each.address, container.name, port)
                        )
                        return each.address
                    if each.address is None:
                        return self._host_address(
                            interface, question_sentences.publishes(container.name, port)
                        )
        address = self._container_address(container, "destination")
        if address is not None and not inside and port is not None:
            self.guesses.append(question_sentences.destination_is_container(address, container.name, port))
        return address

    def _host_address(self, interface: HostInterface | None, reason: str) -> Address | None:
        address = self._own_address(interface)
        if address is None:
            self.findings.error("destination", question_sentences.host_address_unknown(self.family))
        else:
            self.guesses.append(question_sentences.destination_is_host(address, reason))
        return address


def _interface_named(interfaces: Iterable[HostInterface], name: str) -> HostInterface | None:
    return next((each for each in interfaces if each.name == name), None)


def _nearest(surroundings: Surroundings, address: Address) -> tuple[HostInterface, StaticRoute | None] | None:
    """Return the interface with the smallest network that contains an address, and the route to it if any."""
    family = family_of(address)
    found: list[tuple[int, HostInterface, StaticRoute | None]] = [
        (each.network.prefixlen, interface, None)
        for interface in surroundings.interfaces
        for each in interface.addresses
        if each.version == family and address in each.network and not each.ip.is_loopback
    ]
    for name, route in surroundings.static_routes(family):
        interface = surroundings.interface(name)
        if interface is not None and address in route.network:
            found.append((route.network.prefixlen, interface, route))
    best = max(found, key=lambda each: each[0], default=None)
    return best[1:] if best else None


def _main_address(interfaces: Iterable[HostInterface], family: Family) -> Address | None:
    """Return the host's main address: never a loopback address, a link-local one only without any other."""
    found = [
        each.ip
        for interface in interfaces
        for each in interface.addresses
        if each.version == family and not each.ip.is_loopback and not _is_network_address(each)
    ]
    return next((address for address in found if not address.is_link_local), found[0] if found else None)


def _is_network_address(address: ipaddress.IPv4Interface | ipaddress.IPv6Interface) -> bool:
    """Return True for a network's own address, which no host has: it stands for an unknown address."""
    network = address.network
    return address.ip == network.network_address and network.prefixlen < network.max_prefixlen - 1

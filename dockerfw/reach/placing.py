"""Where a packet's ends are on a host: which address a name means, and by which interface a packet comes in.

Owns what is guessed from networks, default routes and published ports; each guess is said as a sentence.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass

from dockerfw.document.fields import Problems, shown, suggestion
from dockerfw.iptables.model import FAMILY_NAMES, Family
from dockerfw.iptables.protocols import protocol_number
from dockerfw.reach.listening import Address, Container
from dockerfw.simulation.surroundings import HostInterface, Surroundings


@dataclass(frozen=True, slots=True)
class End:
    """One end of the packet: an address, or a container whose address depends on the rest of the question."""

    address: Address | None = None
    container: Container | None = None
    host: bool = False

    @property
    def spoken(self) -> Family | None:
        """The family of the address that was typed."""
        if self.address is None:
            return None
        return 4 if self.address.version == 4 else 6

    @property
    def family(self) -> Family | None:
        """The family of the address, or of all the addresses of the container."""
        if self.address is not None:
            return self.spoken
        if self.container is not None:
            found = {address.version for address in self.container.addresses}
            if len(found) == 1:
                return 4 if found == {4} else 6
        return None


class Placing:
    """The places of one packet; what is wrong goes into `findings`, what is guessed into `guesses`."""

    def __init__(
        self, surroundings: Surroundings, family: Family, findings: Problems, guesses: list[str]
    ) -> None:
        """Begin with nothing placed."""
        self.surroundings = surroundings
        self.family = family
        self.findings = findings
        self.guesses = guesses

    def source_address(self, end: End) -> Address | None:
        """Return where a packet comes from."""
        if end.address is not None:
            return end.address
        if end.container is not None and not end.container.on_host_network:
            return self._container_address(end.container, "source")
        address = self._own_address()
        if address is None:
            self.findings.error("source", f"no {FAMILY_NAMES[self.family]} address of the host is known")
        return address

    def _own_address(self, interface: HostInterface | None = None) -> Address | None:
        """Return the host's address on an interface, else on that of the default route, else on any."""
        known = self.surroundings.interfaces
        ways = [each for each in known if each.name in self.surroundings.default_routes.get(self.family, ())]
        groups = ([interface] if interface else [], ways, known)
        found = (_main_address(group, self.family) for group in groups)
        return next((address for address in found if address is not None), None)

    def _container_address(self, container: Container, field: str) -> Address | None:
        for address in container.addresses:
            if address.version == self.family:
                return address
        self.findings.error(field, f"{container.name} has no {FAMILY_NAMES[self.family]} address")
        return None

    def interface(self, source: Address, name: str) -> HostInterface | None:
        """Return where a packet comes in, named or guessed; None where the host itself sends it."""
        if name:
            return self._named_interface(name)
        interfaces = self.surroundings.interfaces
        if any(source == each.ip for interface in interfaces for each in interface.addresses):
            self.guesses.append(f"{source} is the host's own address, so the host itself sends it.")
            return None
        if source.is_loopback:
            self.guesses.append(f"{source} is a loopback address, so the host itself sends it.")
            return None
        near = _nearest(interfaces, source)
        if near is not None:
            self.guesses.append(f"It comes in by {near.name}, whose network {source} is in.")
            return near
        ways = self.surroundings.default_routes.get(self.family, ())
        for way in ways:
            more = f" ({', '.join(ways[1:])} leads there too)" if len(ways) > 1 else ""
            self.guesses.append(
                f"It comes in by {way}, where the default route of {FAMILY_NAMES[self.family]} leads{more}."
            )
            return _interface_named(interfaces, way) or HostInterface(way, (), True)
        self.findings.error(
            "interface",
            f"no network of the host holds {source} and {FAMILY_NAMES[self.family]} has no default route: "
            "choose where it comes in",
        )
        return None

    def _named_interface(self, name: str) -> HostInterface | None:
        interfaces = self.surroundings.interfaces
        found = _interface_named(interfaces, name)
        if found is None and interfaces:
            hint = suggestion(name, [each.name for each in interfaces])
            self.findings.error("interface", f"the host has no interface {shown(name)}{hint}")
        return found or HostInterface(name, (), True)

    def destination_address(
        self, end: End, protocol: int, port: int | None, interface: HostInterface | None
    ) -> Address | None:
        """Return what a packet dials."""
        if end.address is not None:
            return end.address
        if end.container is None or end.container.on_host_network:
            who = f"{end.container.name} has no network of its own: " if end.container else ""
            return self._host_address(interface, who)
        return self._dialled(end.container, protocol, port, interface)

    def _dialled(
        self,
        container: Container,
        protocol: int,
        port: int | None,
        interface: HostInterface | None,
    ) -> Address | None:
        """Return the address under which a container's port is dialled: the host's where it is published."""
        inside = interface is not None and any(
            address in each.network for address in container.addresses for each in interface.addresses
        )
        if not inside:
            for each in container.publications:
                if each.port == port and protocol_number(each.protocol) == protocol:
                    if each.address is not None and each.address.version == self.family:
                        self.guesses.append(
                            f"{container.name} is dialled at {each.address}, where it publishes {port}."
                        )
                        return each.address
                    if each.address is None:
                        return self._host_address(interface, f"{container.name} publishes {port}: ")
        address = self._container_address(container, "destination")
        if address is not None and not inside and port is not None:
            self.guesses.append(
                f"{container.name} does not publish {port}, so its own address {address} is dialled."
            )
        return address

    def _host_address(self, interface: HostInterface | None, why: str) -> Address | None:
        address = self._own_address(interface)
        if address is None:
            self.findings.error(
                "destination", f"no {FAMILY_NAMES[self.family]} address of the host is known: name one"
            )
        elif why:
            self.guesses.append(f"{why}dialled is the host's own address {address}.")
        else:
            self.guesses.append(f"Dialled is the host's own address {address}.")
        return address


def _interface_named(interfaces: Iterable[HostInterface], name: str) -> HostInterface | None:
    return next((each for each in interfaces if each.name == name), None)


def _nearest(interfaces: Iterable[HostInterface], address: Address) -> HostInterface | None:
    """Return the interface with the smallest network that holds an address; a bridge's ports have none."""
    best: tuple[int, HostInterface] | None = None
    for interface in interfaces:
        for each in interface.addresses:
            inside = each.version == address.version and address in each.network
            if inside and not each.ip.is_loopback and (best is None or each.network.prefixlen > best[0]):
                best = (each.network.prefixlen, interface)
    return best[1] if best else None


def _main_address(interfaces: Iterable[HostInterface], family: Family) -> Address | None:
    """Return the address under which others know the host: not the loopback's, link-local only at last."""
    found = [
        each.ip
        for interface in interfaces
        for each in interface.addresses
        if each.version == family and not each.ip.is_loopback and not _names_a_network(each)
    ]
    return next((address for address in found if not address.is_link_local), found[0] if found else None)


def _names_a_network(address: ipaddress.IPv4Interface | ipaddress.IPv6Interface) -> bool:
    """Say whether this is a network's own address, which no host has; it stands for one that is not known."""
    network = address.network
    return address.ip == network.network_address and network.prefixlen < network.max_prefixlen - 1

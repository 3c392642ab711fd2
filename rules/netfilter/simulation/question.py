"""From what people ask ("would 203.0.113.5 reach container web on 8080?") to one packet.

Owns the reading of each field and what is guessed where a field is left empty; every guess is said as a
sentence. It decides nothing about the packet's fate: that is for simulate.py.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from rules.netfilter.errors import FieldError, NetfilterError
from rules.netfilter.fields import Findings, shown, suggestion
from rules.netfilter.fields import port as port_field
from rules.netfilter.fields import protocol as protocol_field
from rules.netfilter.icmp_types import ICMP_TYPES, ICMPV6_TYPES
from rules.netfilter.model import Family
from rules.netfilter.owners import FAMILY_NAMES
from rules.netfilter.protocols import ICMP, IPV6_ICMP, PROTOCOLS_WITH_PORTS, protocol_number
from rules.netfilter.simulation.listening import Address, Container, find_containers
from rules.netfilter.simulation.packet import Packet
from rules.netfilter.simulation.surroundings import Interface, Surroundings

THIS_HOST: Final = "host"
PING: Final = "echo-request"


@dataclass(frozen=True, slots=True)
class Question:
    """A packet as people name it, each field as it was typed; an empty one is guessed where that is possible.

    `source` and `destination` are addresses, names of containers, or `host`.
    """

    source: str = ""
    destination: str = ""
    protocol: str = "tcp"
    port: str = ""
    icmp_type: str = ""
    interface: str = ""
    source_port: str = ""
    family: Family | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """The packet that a question means, and a sentence for each thing that was not in the question."""

    packet: Packet
    guesses: tuple[str, ...]


class QuestionError(NetfilterError):
    """A question that cannot be turned into a packet; each error's path is the name of a field."""

    def __init__(self, errors: tuple[FieldError, ...]) -> None:
        super().__init__(errors)
        self.errors = errors

    def __str__(self) -> str:
        return "\n".join(str(error) for error in self.errors)


def read_question(
    question: Question, surroundings: Surroundings, containers: tuple[Container, ...] | None = ()
) -> Asked:
    """Return the packet that a question means. Raises QuestionError with all that is wrong.

    `containers` None means that their names are not known.
    """
    reading = _Reading(question, surroundings, containers)
    packet = reading.packet()
    if packet is None or reading.findings.errors:
        raise QuestionError(tuple(reading.findings.errors))
    return Asked(packet, tuple(reading.guesses))


@dataclass(frozen=True, slots=True)
class _End:
    """One end of the packet: an address, or a container whose address depends on the rest of the question."""

    address: Address | None = None
    container: Container | None = None
    host: bool = False

    @property
    def family(self) -> Family | None:
        if self.address is not None:
            return 4 if self.address.version == 4 else 6
        if self.container is not None:
            found = {address.version for address in self.container.addresses}
            if len(found) == 1:
                return 4 if found == {4} else 6
        return None


class _Reading:
    """question = source [ destination ] protocol [ port | icmp-type ] [ interface ] [ source-port ]"""

    def __init__(
        self, question: Question, surroundings: Surroundings, containers: tuple[Container, ...] | None
    ) -> None:
        self.question = question
        self.surroundings = surroundings
        self.containers = containers
        self.findings = Findings()
        self.guesses: list[str] = []

    def packet(self) -> Packet | None:
        """Read all fields, the independent ones first, so that every error is told at once."""
        source = self._end("source", self.question.source)
        destination = self._end("destination", self.question.destination or THIS_HOST)
        protocol = self._protocol()
        if source is None or destination is None:
            self._ports_alone(protocol)
            return None
        family = self._family(source, destination, protocol)
        port, icmp = self._what(protocol, family)
        source_port = self._port_of("source_port", self.question.source_port, protocol)
        if self.findings.errors or protocol is None or family is None:
            return None
        if protocol in (ICMP, IPV6_ICMP):
            protocol = ICMP if family == 4 else IPV6_ICMP
        from_address = self._source_address(source, family)
        if from_address is None:
            return None
        interface = self._interface(from_address, family)
        to_address = self._destination_address(destination, family, protocol, port, interface)
        if self.findings.errors or to_address is None:
            return None
        return Packet(
            family=family,
            source=from_address,
            destination=to_address,
            protocol=protocol,
            in_interface=interface.name if interface else None,
            source_port=source_port,
            destination_port=port,
            icmp_type=icmp[0] if icmp else None,
            icmp_code=icmp[1] if icmp else None,
        )

    def _end(self, field: str, text: str) -> _End | None:
        text = text.strip()
        if not text:
            self.findings.error(field, "say where the packet comes from: an address, or a container's name")
            return None
        if text.lower() in (THIS_HOST, "this host"):
            return _End(host=True)
        try:
            address = ipaddress.ip_address(text.removeprefix("[").removesuffix("]"))
        except ValueError:
            return self._container(field, text)
        if isinstance(address, ipaddress.IPv6Address):
            if address.scope_id is not None:
                self.findings.error(field, f"{shown(text)} has a zone: leave out %{address.scope_id}")
                return None
            if address.ipv4_mapped is not None:
                address = address.ipv4_mapped
        return _End(address=address)

    def _container(self, field: str, text: str) -> _End | None:
        found = find_containers(self.containers or (), text)
        if found:
            if len(found) > 1:
                names = ", ".join(each.name for each in found[1:4])
                self.guesses.append(f"{text} is {found[0].name}; there are {names} too.")
            return _End(container=found[0])
        if "/" in text:
            self.findings.error(field, f"{shown(text)} is not one address: a packet has one, not a network")
        elif self.containers is None:
            self.findings.error(
                field,
                f"{shown(text)} is not an address. Names of containers are not known here: "
                "the root worker was not given Docker's socket",
            )
        else:
            hint = suggestion(text, [each.name for each in self.containers])
            self.findings.error(field, f"{shown(text)} is neither an address nor a running container{hint}")
        return None

    def _protocol(self) -> int | None:
        text = protocol_field(self.question.protocol.strip() or "tcp", "protocol", self.findings)
        if text == "any":
            self.findings.error("protocol", "a packet has one protocol, such as tcp")
            return None
        return protocol_number(text) if text else None

    def _family(self, source: _End, destination: _End, protocol: int | None) -> Family | None:
        wanted = self.question.family or source.family or destination.family
        if wanted is None:
            wanted = 6 if protocol == IPV6_ICMP else 4
        for field, end in (("source", source), ("destination", destination)):
            if end.family is not None and end.family != wanted:
                other = FAMILY_NAMES[wanted]
                self.findings.error(field, f"this is {FAMILY_NAMES[end.family]} and the packet is {other}")
                return None
        return wanted

    def _ports_alone(self, protocol: int | None) -> None:
        self._what(protocol, self.question.family)
        self._port_of("source_port", self.question.source_port, protocol)

    def _what(
        self, protocol: int | None, family: Family | None
    ) -> tuple[int | None, tuple[int, int | None] | None]:
        """Return the port, and ICMP's type and code, as far as the protocol has them."""
        if protocol in (ICMP, IPV6_ICMP):
            return None, self._icmp_type(family or (4 if protocol == ICMP else 6))
        if protocol is not None and not _has_ports(protocol):
            return None, None
        if protocol is not None and not self.question.port.strip():
            self.findings.error("port", "say which port is dialled")
        return self._port_of("port", self.question.port, protocol), None

    def _port_of(self, field: str, text: str, protocol: int | None) -> int | None:
        if not text.strip() or (protocol is not None and not _has_ports(protocol)):
            return None
        read = port_field(text, field, self.findings)
        if read is not None and "-" in read:
            self.findings.error(field, f"{shown(text)} is a range: a packet has one port")
            return None
        return int(read) if read else None

    def _icmp_type(self, family: Family) -> tuple[int, int | None] | None:
        text = self.question.icmp_type.strip().lower() or PING
        known = ICMP_TYPES if family == 4 else ICMPV6_TYPES
        kind, _, code = known.get(text, text).partition("/")
        if _is_byte(kind) and (not code or _is_byte(code)) and text != "any":
            return int(kind), int(code) if code else 0
        hint = suggestion(text, [name for name in known if name != "any"])
        self.findings.error(
            "icmp_type",
            f"{shown(text)} is not a type of {FAMILY_NAMES[family]}'s ICMP (a name or 0 to 255){hint}",
        )
        return None

    def _source_address(self, end: _End, family: Family) -> Address | None:
        if end.address is not None:
            return end.address
        if end.container is not None and not end.container.on_host_network:
            return self._container_address(end.container, family, "source")
        address = self._own_address(family)
        if address is None:
            self.findings.error("source", f"no {FAMILY_NAMES[family]} address of the host is known")
        return address

    def _own_address(self, family: Family, interface: Interface | None = None) -> Address | None:
        """Return the host's address on an interface, else on that of the default route, else on any."""
        known = self.surroundings.interfaces
        ways = [each for each in known if each.name in self.surroundings.default_routes.get(family, ())]
        groups = ([interface] if interface else [], ways, known)
        found = (_main_address(group, family) for group in groups)
        return next((address for address in found if address is not None), None)

    def _container_address(self, container: Container, family: Family, field: str) -> Address | None:
        for address in container.addresses:
            if address.version == family:
                return address
        self.findings.error(field, f"{container.name} has no {FAMILY_NAMES[family]} address")
        return None

    def _interface(self, source: Address, family: Family) -> Interface | None:
        """Return where the packet comes in; None where the host itself sends it."""
        name = self.question.interface.strip()
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
        ways = self.surroundings.default_routes.get(family, ())
        for way in ways:
            more = f" ({', '.join(ways[1:])} leads there too)" if len(ways) > 1 else ""
            self.guesses.append(
                f"It comes in by {way}, where the default route of {FAMILY_NAMES[family]} leads{more}."
            )
            return _interface_named(interfaces, way) or Interface(way, (), True)
        self.findings.error(
            "interface",
            f"no network of the host holds {source} and {FAMILY_NAMES[family]} has no default route: "
            "choose where it comes in",
        )
        return None

    def _named_interface(self, name: str) -> Interface | None:
        interfaces = self.surroundings.interfaces
        found = _interface_named(interfaces, name)
        if found is None and interfaces:
            hint = suggestion(name, [each.name for each in interfaces])
            self.findings.error("interface", f"the host has no interface {shown(name)}{hint}")
        return found or Interface(name, (), True)

    def _destination_address(
        self, end: _End, family: Family, protocol: int, port: int | None, interface: Interface | None
    ) -> Address | None:
        if end.address is not None:
            return end.address
        if end.container is None or end.container.on_host_network:
            who = f"{end.container.name} has no network of its own: " if end.container else ""
            return self._host_address(family, interface, who)
        return self._dialled(end.container, family, protocol, port, interface)

    def _dialled(
        self,
        container: Container,
        family: Family,
        protocol: int,
        port: int | None,
        interface: Interface | None,
    ) -> Address | None:
        """Return the address under which a container's port is dialled: the host's where it is published."""
        inside = interface is not None and any(
            address in each.network for address in container.addresses for each in interface.addresses
        )
        if not inside:
            for each in container.publications:
                if each.port == port and protocol_number(each.protocol) == protocol:
                    if each.address is not None and each.address.version == family:
                        self.guesses.append(
                            f"{container.name} is dialled at {each.address}, where it publishes {port}."
                        )
                        return each.address
                    if each.address is None:
                        return self._host_address(family, interface, f"{container.name} publishes {port}: ")
        address = self._container_address(container, family, "destination")
        if address is not None and not inside and port is not None:
            self.guesses.append(
                f"{container.name} does not publish {port}, so its own address {address} is dialled."
            )
        return address

    def _host_address(self, family: Family, interface: Interface | None, why: str) -> Address | None:
        address = self._own_address(family, interface)
        if address is None:
            self.findings.error(
                "destination", f"no {FAMILY_NAMES[family]} address of the host is known: name one"
            )
        elif why:
            self.guesses.append(f"{why}dialled is the host's own address {address}.")
        else:
            self.guesses.append(f"Dialled is the host's own address {address}.")
        return address


def _has_ports(protocol: int) -> bool:
    return any(protocol_number(name) == protocol for name in PROTOCOLS_WITH_PORTS)


def _is_byte(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 3 and int(text) <= 255


def _interface_named(interfaces: Iterable[Interface], name: str) -> Interface | None:
    return next((each for each in interfaces if each.name == name), None)


def _nearest(interfaces: Iterable[Interface], address: Address) -> Interface | None:
    """Return the interface with the smallest network that holds an address; a bridge's ports have none."""
    best: tuple[int, Interface] | None = None
    for interface in interfaces:
        for each in interface.addresses:
            inside = each.version == address.version and address in each.network
            if inside and not each.ip.is_loopback and (best is None or each.network.prefixlen > best[0]):
                best = (each.network.prefixlen, interface)
    return best[1] if best else None


def _main_address(interfaces: Iterable[Interface], family: Family) -> Address | None:
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

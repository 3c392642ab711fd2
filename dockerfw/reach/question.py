"""From what people ask ("would 203.0.113.5 reach container web on 8080?") to one packet.

Owns the reading of each field, and what is taken where one is left empty; every guess is said as a
sentence. Where its ends are placing.py says, what becomes of it simulate.py.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Final

from dockerfw.document.fields import Problems, read_port, read_protocol, shown, suggestion
from dockerfw.iptables.errors import FieldError, NetfilterError
from dockerfw.iptables.icmp_types import ICMP_TYPES, ICMPV6_TYPES
from dockerfw.iptables.model import FAMILY_NAMES, Family
from dockerfw.iptables.protocols import ICMP, IPV6_ICMP, PROTOCOLS_WITH_PORTS, protocol_number
from dockerfw.reach.listening import Container, find_containers
from dockerfw.reach.placing import End, Placing
from dockerfw.simulation.packet import Packet
from dockerfw.simulation.surroundings import Surroundings

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
class ResolvedQuestion:
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
) -> ResolvedQuestion:
    """Return the packet that a question means. Raises QuestionError with all that is wrong.

    `containers` None means that their names are not known.
    """
    reading = _Reading(question, surroundings, containers)
    packet = reading.packet()
    if packet is None or reading.findings.errors:
        raise QuestionError(tuple(reading.findings.errors))
    return ResolvedQuestion(packet, tuple(reading.guesses))


class _Reading:
    """question = source [ destination ] protocol [ port | icmp-type ] [ interface ] [ source-port ]"""

    def __init__(
        self, question: Question, surroundings: Surroundings, containers: tuple[Container, ...] | None
    ) -> None:
        self.question = question
        self.surroundings = surroundings
        self.containers = containers
        self.findings = Problems()
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
        placing = Placing(self.surroundings, family, self.findings, self.guesses)
        from_address = placing.source_address(source)
        if from_address is None:
            return None
        interface = placing.interface(from_address, self.question.interface.strip())
        to_address = placing.destination_address(destination, protocol, port, interface)
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

    def _end(self, field: str, text: str) -> End | None:
        text = text.strip()
        if not text:
            self.findings.error(field, "say where the packet comes from: an address, or a container's name")
            return None
        if text.lower() in (THIS_HOST, "this host"):
            return End(host=True)
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
        return End(address=address)

    def _container(self, field: str, text: str) -> End | None:
        found = find_containers(self.containers or (), text)
        if found:
            if len(found) > 1:
                names = ", ".join(each.name for each in found[1:4])
                self.guesses.append(f"{text} is {found[0].name}; there are {names} too.")
            return End(container=found[0])
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
        text = read_protocol(self.question.protocol.strip() or "tcp", "protocol", self.findings)
        if text == "any":
            self.findings.error("protocol", "a packet has one protocol, such as tcp")
            return None
        return protocol_number(text) if text else None

    def _family(self, source: End, destination: End, protocol: int | None) -> Family | None:
        """Take the family of the addresses; containers may be reached by one that they have no address of."""
        ends = {"source": source, "destination": destination}
        wanted = self.question.family or source.spoken or destination.spoken
        wanted = wanted or source.family or destination.family or (6 if protocol == IPV6_ICMP else 4)
        for field, end in ends.items():
            if end.spoken is not None and end.spoken != wanted:
                other = FAMILY_NAMES[wanted]
                self.findings.error(field, f"this is {FAMILY_NAMES[end.spoken]} and the packet is {other}")
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
        read = read_port(text, field, self.findings)
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


def _has_ports(protocol: int) -> bool:
    return any(protocol_number(name) == protocol for name in PROTOCOLS_WITH_PORTS)


def _is_byte(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 3 and int(text) <= 255

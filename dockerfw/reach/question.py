"""A trace question ("would 203.0.113.5 reach container web on 8080?") turned into one packet.

Reads each field and fills in empty ones; each guess is a sentence. packet_ends.py finds the packet's ends.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Final

from dockerfw.document.fields import Problems, read_port, read_protocol, shown, suggestion
from dockerfw.iptables.errors import FieldError, NetfilterError
from dockerfw.iptables.icmp_types import ICMP_TYPES, ICMPV6_TYPES
from dockerfw.iptables.model import Family
from dockerfw.iptables.protocols import ICMP, IPV6_ICMP, PROTOCOLS_WITH_PORTS, protocol_number
from dockerfw.reach import question_sentences
from dockerfw.reach.listening import RunningContainer, find_containers
from dockerfw.reach.packet_ends import End, PacketEnds
from dockerfw.simulation.packet import Packet
from dockerfw.simulation.surroundings import Surroundings

THIS_HOST: Final = "host"
PING: Final = "echo-request"


@dataclass(frozen=True, slots=True)
class Question:
    """The fields of a question as they were typed; empty fields are guessed if possible.

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
    """The packet of a question, and a sentence for each guess."""

    packet: Packet
    guesses: tuple[str, ...]


class QuestionError(NetfilterError):
    """A question that does not give a packet; each error's path is the name of a field."""

    def __init__(self, errors: tuple[FieldError, ...]) -> None:
        super().__init__(errors)
        self.errors = errors

    def __str__(self) -> str:
        return "\n".join(str(error) for error in self.errors)


def read_question(
    question: Question, surroundings: Surroundings, containers: tuple[RunningContainer, ...] | None = ()
) -> ResolvedQuestion:
    """Return the packet of a question. Raise QuestionError with all errors.

    `containers` is None if their names are unknown.
    """
    reading = _Reading(question, surroundings, containers)
    packet = reading.packet()
    if packet is None or reading.findings.errors:
        raise QuestionError(tuple(reading.findings.errors))
    return ResolvedQuestion(packet, tuple(reading.guesses))


class _Reading:
    """question = source [ destination ] protocol [ port | icmp-type ] [ interface ] [ source-port ]"""

    def __init__(
        self, question: Question, surroundings: Surroundings, containers: tuple[RunningContainer, ...] | None
    ) -> None:
        self.question = question
        self.surroundings = surroundings
        self.containers = containers
        self.findings = Problems()
        self.guesses: list[str] = []

    def packet(self) -> Packet | None:
        """Read all fields, the independent ones first, to report every error at once."""
        source = self._end("source", self.question.source)
        destination = self._end("destination", self.question.destination or THIS_HOST)
        protocol = self._protocol()
        if source is None or destination is None:
            self._ports_alone(protocol)
            return None
        family = self._family(source, destination, protocol)
        port, icmp = self._port_and_icmp(protocol, family)
        source_port = self._port_of("source_port", self.question.source_port, protocol)
        if self.findings.errors or protocol is None or family is None:
            return None
        if protocol in (ICMP, IPV6_ICMP):
            protocol = ICMP if family == 4 else IPV6_ICMP
        ends = PacketEnds(self.surroundings, family, self.findings, self.guesses)
        from_address = ends.source_address(source)
        if from_address is None:
            return None
        interface = ends.interface(from_address, self.question.interface.strip())
        to_address = ends.destination_address(destination, protocol, port, interface)
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
            self.findings.error(field, question_sentences.ENTER_END)
            return None
        if text.lower() in (THIS_HOST, "this host"):
            return End(host=True)
        try:
            address = ipaddress.ip_address(text.removeprefix("[").removesuffix("]"))
        except ValueError:
            return self._container(field, text)
        if isinstance(address, ipaddress.IPv6Address):
            if address.scope_id is not None:
                self.findings.error(field, question_sentences.zone_not_allowed(shown(text), address.scope_id))
                return None
            if address.ipv4_mapped is not None:
                address = address.ipv4_mapped
        return End(address=address)

    def _container(self, field: str, text: str) -> End | None:
        found = find_containers(self.containers or (), text)
        if found:
            if len(found) > 1:
                others = [each.name for each in found[1:4]]
                self.guesses.append(question_sentences.several_containers(text, found[0].name, others))
            return End(container=found[0])
        if "/" in text:
            self.findings.error(field, question_sentences.not_one_address(shown(text)))
        elif self.containers is None:
            self.findings.error(field, question_sentences.names_unknown(shown(text)))
        else:
            hint = suggestion(text, [each.name for each in self.containers])
            self.findings.error(field, question_sentences.not_an_end(shown(text), hint))
        return None

    def _protocol(self) -> int | None:
        text = read_protocol(self.question.protocol.strip() or "tcp", "protocol", self.findings)
        if text == "any":
            self.findings.error("protocol", question_sentences.ONE_PROTOCOL)
            return None
        return protocol_number(text) if text else None

    def _family(self, source: End, destination: End, protocol: int | None) -> Family | None:
        """Return the family of the addresses; a container may be reached over another family than its own."""
        ends = {"source": source, "destination": destination}
        wanted = self.question.family or source.typed_family or destination.typed_family
        wanted = wanted or source.family or destination.family or (6 if protocol == IPV6_ICMP else 4)
        for field, end in ends.items():
            if end.typed_family is not None and end.typed_family != wanted:
                self.findings.error(field, question_sentences.other_family(end.typed_family, wanted))
                return None
        return wanted

    def _ports_alone(self, protocol: int | None) -> None:
        self._port_and_icmp(protocol, self.question.family)
        self._port_of("source_port", self.question.source_port, protocol)

    def _port_and_icmp(
        self, protocol: int | None, family: Family | None
    ) -> tuple[int | None, tuple[int, int | None] | None]:
        """Return the port, and ICMP's type and code, if the protocol has them."""
        if protocol in (ICMP, IPV6_ICMP):
            return None, self._icmp_type(family or (4 if protocol == ICMP else 6))
        if protocol is not None and not _has_ports(protocol):
            return None, None
        if protocol is not None and not self.question.port.strip():
            self.findings.error("port", question_sentences.ENTER_PORT)
        return self._port_of("port", self.question.port, protocol), None

    def _port_of(self, field: str, text: str, protocol: int | None) -> int | None:
        if not text.strip() or (protocol is not None and not _has_ports(protocol)):
            return None
        read = read_port(text, field, self.findings)
        if read is not None and "-" in read:
            self.findings.error(field, question_sentences.one_port(shown(text)))
            return None
        return int(read) if read else None

    def _icmp_type(self, family: Family) -> tuple[int, int | None] | None:
        text = self.question.icmp_type.strip().lower() or PING
        known = ICMP_TYPES if family == 4 else ICMPV6_TYPES
        kind, _, code = known.get(text, text).partition("/")
        if _is_byte(kind) and (not code or _is_byte(code)) and text != "any":
            return int(kind), int(code) if code else 0
        hint = suggestion(text, [name for name in known if name != "any"])
        self.findings.error("icmp_type", question_sentences.not_an_icmp_type(shown(text), family, hint))
        return None


def _has_ports(protocol: int) -> bool:
    return any(protocol_number(name) == protocol for name in PROTOCOLS_WITH_PORTS)


def _is_byte(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 3 and int(text) <= 255

"""The simulation of one service from every source at once: exactly which sources reach it."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from dockerfw.iptables.model import Family
from dockerfw.simulation import sentences
from dockerfw.simulation.addresses import AddressSet, union_of
from dockerfw.simulation.outcomes import sum_up
from dockerfw.simulation.packet import Address, Packet
from dockerfw.simulation.simulate import Prepared, run_journey
from dockerfw.simulation.state import PacketState
from dockerfw.simulation.trace import Verdict
from dockerfw.simulation.walk import ChainKey

_ECHO = {1: 8, 58: 128}


@dataclass(frozen=True, slots=True)
class Service:
    """A service, by the address and port that the client connects to.

    For ICMP the service is the echo request. The client's port is unknown.
    """

    family: Family
    protocol: int
    destination: Address
    port: int | None
    in_interface: str

    def packet(self, source: Address) -> Packet:
        """Return the first packet of a client."""
        echo = _ECHO.get(self.protocol)
        return Packet(
            family=self.family,
            source=source,
            destination=self.destination,
            protocol=self.protocol,
            in_interface=self.in_interface,
            destination_port=self.port,
            icmp_type=echo,
            icmp_code=None if echo is None else 0,
        )


@dataclass(frozen=True, slots=True)
class Reach:
    """The sources that reach a service, in three sets that do not overlap and together hold every address.

    `parts` splits the same addresses by the rule or policy that decides. `entered` are the noted chains that
    packets entered, with what rules see of a packet there. `passed` are all chains on which this depends.
    """

    passes: AddressSet
    refused: AddressSet
    unknown: AddressSet
    parts: tuple[tuple[AddressSet, Verdict], ...]
    entered: tuple[tuple[str, PacketState], ...] = ()
    passed: frozenset[ChainKey] = frozenset()


def simulate_service(prepared: Prepared, service: Service, noted: frozenset[str] = frozenset()) -> Reach:
    """Return the sources that reach a service; `noted` are chains of the filter table to note the entry of.

    Raises ValueError if its family is not that of the rules.
    """
    family = prepared.family
    if {service.family, service.destination.version} != {family}:
        raise ValueError(sentences.wrong_family(family, "service"))
    packet = service.packet((IPv4Address if family == 4 else IPv6Address)(0))
    walk, _ = run_journey(prepared, packet, AddressSet.everything(family), recording=False, noted=noted)
    sums = sum_up(family, walk.ends)
    nothing = AddressSet.nothing(family)
    passes, unknown = sums.by_kind.get("ACCEPT", nothing), sums.by_kind["UNKNOWN"]
    refused = union_of(family, [sums.by_kind.get(kind, nothing) for kind in ("DROP", "REJECT")])
    entered = tuple(dict.fromkeys(walk.entered))
    return Reach(passes, refused, unknown, sums.parts, entered, frozenset(walk.passed))

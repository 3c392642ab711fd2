"""Owns the answer for a whole service: exactly which sources get through to it."""

from __future__ import annotations

from dataclasses import dataclass

from rules.netfilter.model import Family
from rules.netfilter.simulation.addresses import AddressSet
from rules.netfilter.simulation.packet import Address
from rules.netfilter.simulation.simulate import Prepared
from rules.netfilter.simulation.trace import Verdict


@dataclass(frozen=True, slots=True)
class Service:
    """What somebody outside may want to reach, by the address and the port that the client dials.

    The service of ICMP is the echo. The client's port is not known.
    """

    family: Family
    protocol: int
    destination: Address
    port: int | None
    in_interface: str


@dataclass(frozen=True, slots=True)
class Reach:
    """Which sources reach a service: three sets that share nothing and leave nobody out.

    `parts` splits the same addresses by the rule or policy that decides.
    """

    passes: AddressSet
    refused: AddressSet
    unknown: AddressSet
    parts: tuple[tuple[AddressSet, Verdict], ...]


def reach(prepared: Prepared, service: Service) -> Reach:
    """Say who reaches a service. Raises ValueError when it is of the other family."""
    raise NotImplementedError

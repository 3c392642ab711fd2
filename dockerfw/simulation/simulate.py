"""The simulation of one packet: its verdict and its steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from ipaddress import IPv4Address, IPv6Address

from dockerfw.iptables.model import Family, Ruleset
from dockerfw.simulation import sentences
from dockerfw.simulation.addresses import AddressSet
from dockerfw.simulation.chains import CompiledChain, compile_chains
from dockerfw.simulation.first_state import make_first_state
from dockerfw.simulation.journey import Journey
from dockerfw.simulation.outcomes import Piece, sum_up
from dockerfw.simulation.packet import Packet
from dockerfw.simulation.steps import list_steps
from dockerfw.simulation.surroundings import Surroundings
from dockerfw.simulation.trace import Trace
from dockerfw.simulation.walk import Walk


@dataclass(frozen=True)
class Prepared:
    """A ruleset compiled for one family, with its surroundings; compiling takes time, so callers keep it."""

    ruleset: Ruleset
    surroundings: Surroundings
    family: Family
    chains: Mapping[tuple[str, str], CompiledChain] = field(repr=False, compare=False)

    def at(self, moment: int | None) -> Prepared:
        """Return the same rules for packets of another moment, in UTC seconds, without compiling again."""
        return replace(self, surroundings=replace(self.surroundings, at=moment))


def prepare(ruleset: Ruleset, surroundings: Surroundings, family: Family) -> Prepared:
    """Compile a ruleset once for any number of packets."""
    return Prepared(ruleset, surroundings, family, compile_chains(ruleset, surroundings, family))


def simulate(prepared: Prepared, packet: Packet) -> Trace:
    """Send a packet through the rules. Raises ValueError if its family is not that of the rules."""
    if {packet.family, packet.source.version, packet.destination.version} != {prepared.family}:
        raise ValueError(sentences.wrong_family(prepared.family, "packet"))
    walk, journey = run_journey(prepared, packet, AddressSet.single(packet.source), recording=True)
    state = journey.state
    address = IPv4Address if state.family == 4 else IPv6Address
    return Trace(
        packet=packet,
        verdict=sum_up(prepared.family, walk.ends).parts[0][1],
        hook=journey.hook,
        destination=None if state.destination is None else address(state.destination),
        destination_port=state.destination_port,
        out_interface=None if journey.hook == "INPUT" else state.out_interface or None,
        build_steps=partial(list_steps, walk.events),
    )


def run_journey(
    prepared: Prepared,
    packet: Packet,
    sources: AddressSet,
    *,
    recording: bool,
    noted: frozenset[str] = frozenset(),
) -> tuple[Walk, Journey]:
    """Send a packet from each of the sources through the rules at once; `noted` as in Walk."""
    walk = Walk(prepared.chains, recording, noted=noted)
    state = make_first_state(packet, prepared.surroundings)
    journey = Journey.begin(walk, prepared.surroundings, state)
    if packet.in_interface is None:
        journey.send(Piece(sources, state))
    else:
        journey.enter(Piece(sources, state))
    return walk, journey

"""Owns the answer for one packet: what becomes of it, and by which steps."""

from __future__ import annotations

from dataclasses import dataclass

from rules.netfilter.model import Family, Ruleset
from rules.netfilter.simulation.packet import Packet
from rules.netfilter.simulation.surroundings import Surroundings
from rules.netfilter.simulation.trace import Trace


@dataclass(frozen=True)
class Prepared:
    """A ruleset compiled for one family, and what lies around it; costly to make, to be kept by the caller."""

    ruleset: Ruleset
    surroundings: Surroundings
    family: Family


def prepare(ruleset: Ruleset, surroundings: Surroundings, family: Family) -> Prepared:
    """Compile a ruleset, once for any number of packets."""
    return Prepared(ruleset, surroundings, family)


def simulate(prepared: Prepared, packet: Packet) -> Trace:
    """Send a packet through the rules. Raises ValueError when it is of the other family."""
    raise NotImplementedError

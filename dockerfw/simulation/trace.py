"""Owns what a simulation says: the verdict, the step that decided it, and every step on the way there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from dockerfw.iptables.model import Rule
from dockerfw.simulation.packet import Address, Packet

VerdictKind = Literal["ACCEPT", "DROP", "REJECT", "UNKNOWN"]
Hook = Literal["INPUT", "FORWARD", "OUTPUT"]
Outcome = Literal["matched", "not matched", "unknown", "policy", "translated", "routed"]


@dataclass(frozen=True, slots=True)
class TraceStep:
    """One rule, one policy or one decision of routing that the packet came to.

    `number` is the rule's place in its chain from 1, and 0 for what is no rule. A step that stands for many
    rules in a row, of which none matches, has no `rule`; they are `number` to `last`. `why` is a short
    sentence without its full stop.
    """

    table: str
    chain: str
    number: int
    rule: Rule | None
    outcome: Outcome
    why: str
    last: int = 0


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of a packet, and the rule or policy that decided it.

    `reject_with` is REJECT's answer in iptables' words; `reason` says, for UNKNOWN, which rule and which
    match could not be decided. The step of an ACCEPT is the filter table's.
    """

    kind: VerdictKind
    reject_with: str = ""
    reason: str = ""
    step: TraceStep | None = None

    @property
    def passes(self) -> bool | None:
        """Say whether the packet gets through; None when that is not known."""
        return None if self.kind == "UNKNOWN" else self.kind == "ACCEPT"


@dataclass(frozen=True)
class Trace:
    """A packet's way: `destination` and `destination_port` are those after DNAT.

    `out_interface` is None when the packet stays on the host, or when no route is known.
    """

    packet: Packet
    verdict: Verdict
    hook: Hook
    destination: Address | None
    destination_port: int | None
    out_interface: str | None
    tell: Callable[[], tuple[TraceStep, ...]] = field(repr=False, compare=False)

    @cached_property
    def steps(self) -> tuple[TraceStep, ...]:
        """Every step in its order, worked out when asked for; long runs of rules in between are one step."""
        return self.tell()

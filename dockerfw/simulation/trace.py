"""The result of a simulation: the verdict, the step that decided, and every step of the path."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from dockerfw.iptables.model import Rule
from dockerfw.simulation.packet import Address, Packet

VerdictKind = Literal["ACCEPT", "DROP", "REJECT", "UNKNOWN"]
Hook = Literal["INPUT", "FORWARD", "OUTPUT"]
StepOutcome = Literal["matched", "not matched", "unknown", "policy", "translated", "routed"]


@dataclass(frozen=True, slots=True)
class TraceStep:
    """One rule, policy or routing decision that the packet reached.

    `number` is the rule's place in its chain, from 1, and 0 if the step is not a rule. A step for many
    consecutive rules of which none matches has no `rule`; they are `number` to `last`. `why` is a short
    sentence without its full stop.
    """

    table: str
    chain: str
    number: int
    rule: Rule | None
    outcome: StepOutcome
    why: str
    last: int = 0


@dataclass(frozen=True, slots=True)
class Verdict:
    """What happens to a packet, and the rule or policy that decided.

    `reject_with` is the answer of REJECT in iptables' words. `reason` names, for UNKNOWN, the rule and match
    that could not be decided. The step of an ACCEPT is that of the filter table.
    """

    kind: VerdictKind
    reject_with: str = ""
    reason: str = ""
    step: TraceStep | None = None

    @property
    def passes(self) -> bool | None:
        """True if the packet is accepted, False if it is refused, None if unknown."""
        return None if self.kind == "UNKNOWN" else self.kind == "ACCEPT"


@dataclass(frozen=True)
class Trace:
    """The path of a packet; `destination` and `destination_port` are those after DNAT.

    `out_interface` is None if the packet stays on the host or no route is known. All of them and `hook` are
    None where an unknown rule leaves the packet more than one way.
    """

    packet: Packet
    verdict: Verdict
    hook: Hook | None
    destination: Address | None
    destination_port: int | None
    out_interface: str | None
    build_steps: Callable[[], tuple[TraceStep, ...]] = field(repr=False, compare=False)

    @cached_property
    def steps(self) -> tuple[TraceStep, ...]:
        """Every step in order, computed on first use; long runs of rules that do not match are one step."""
        return self.build_steps()

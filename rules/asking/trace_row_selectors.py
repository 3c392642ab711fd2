"""Lay out the steps of a simulated packet by chain, with rules that did not match grouped together.

It works on a trace alone, so that the command line can use it without a database.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby

from dockerfw.chains.container_sets import NO_DEFINITIONS, Definitions, explain_sets
from dockerfw.chains.names import is_refusal
from dockerfw.chains.owners import Owner, chain_owner
from dockerfw.chains.set_matches import rule_ids_of
from dockerfw.iptables.tokens import printable
from dockerfw.simulation.packet import Packet
from dockerfw.simulation.surroundings import IpSet
from dockerfw.simulation.trace import Trace, TraceStep
from rules.seen.kernel_wording import readable_rule, readable_target
from rules.seen.live_selectors import ROWS


@dataclass(frozen=True, slots=True)
class StepRow:
    """One step as it is shown; `anchor` and `page` lead to the live page, `rule_key` to one of our rules.

    `rule_keys` are those of all rules with this line and the same source, of which `rule_key` is the first.
    """

    step: TraceStep
    what: str
    target: str
    why: str
    rule_key: str
    anchor: str
    page: int
    rule_keys: tuple[str, ...] = ()

    @property
    def is_refusal(self) -> bool:
        """Return True if it is our last rule, which refuses what no rule allows."""
        return is_refusal(self.step.rule)


@dataclass(frozen=True, slots=True)
class ChainVisit:
    """The steps in one chain; a chain that the packet returns to is another visit.

    `steps` holds matching steps and, between them, tuples of steps that did not match.
    """

    table: str
    chain: str
    owner: Owner
    anchor: str
    steps: tuple[StepRow | tuple[StepRow, ...], ...]


@dataclass(frozen=True, slots=True)
class TraceRows:
    """A trace as it is shown; `allowed_by` is our last rule that returned the packet."""

    trace: Trace
    reason: str
    visits: tuple[ChainVisit, ...]
    deciding: StepRow | None
    allowed_by: StepRow | None


def lay_out(
    trace: Trace, sets: Mapping[str, IpSet] | None = None, definitions: Definitions = NO_DEFINITIONS
) -> TraceRows:
    """Return a trace as it is shown; the members of `sets` name the rules of lines on static sets.

    `definitions` tell what the sets of rules for containers by name stand for.
    """
    known = sets or {}
    step, steps = trace.verdict.step, trace.steps
    if step is not None and step.outcome == "policy" and step not in steps:
        # A chain without rules leaves no step of its own.
        steps = (*steps, step)
    rows = [_row(step, trace.packet, known, definitions) for step in steps]
    ours = [row for row in rows if row.rule_key and row.step.outcome == "matched"]
    return TraceRows(
        trace=trace,
        reason=explain_sets(printable(trace.verdict.reason), definitions),
        visits=tuple(_visits(rows)),
        deciding=_row(step, trace.packet, known, definitions) if step else None,
        allowed_by=ours[-1] if ours and trace.verdict.kind == "ACCEPT" else None,
    )


def _row(step: TraceStep, packet: Packet, sets: Mapping[str, IpSet], definitions: Definitions) -> StepRow:
    rule = step.rule
    keys = rule_ids_of(rule, packet.source, sets) if rule else ()
    return StepRow(
        step=step,
        what=explain_sets(readable_rule(rule), definitions) if rule else "",
        target=readable_target(rule) if rule else "",
        why=explain_sets(printable(step.why), definitions),
        rule_key=keys[0] if keys else "",
        rule_keys=keys,
        anchor=f"v{packet.family}-{step.table}-{step.chain}" if step.table else "",
        page=max(0, step.number - 1) // ROWS + 1,
    )


def _visits(rows: list[StepRow]) -> Iterator[ChainVisit]:
    for (table, chain), steps in groupby(rows, key=lambda row: (row.step.table, row.step.chain)):
        laid: list[StepRow | tuple[StepRow, ...]] = []
        for passed_by, some in groupby(steps, key=lambda row: row.step.outcome == "not matched"):
            if passed_by:
                laid.append(tuple(some))
            else:
                laid.extend(some)
        anchor = next((row.anchor for row in rows if (row.step.table, row.step.chain) == (table, chain)), "")
        yield ChainVisit(table, chain, chain_owner(table, chain), anchor, tuple(laid))

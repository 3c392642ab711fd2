"""Conditions: what one option of a rule asks of a packet. A condition holds, fails or cannot be decided.

There are two kinds, because one walk can stand for many sources: conditions on the source, and all others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from dockerfw.iptables.matches import Option
from dockerfw.iptables.model import Family
from dockerfw.simulation import sentences
from dockerfw.simulation.addresses import AddressSet
from dockerfw.simulation.state import PacketState
from dockerfw.simulation.surroundings import Surroundings

_MAX_DIGITS = 19

Decide = Callable[[PacketState], bool | None]
Split = tuple[AddressSet, AddressSet]
"""The sources for which a condition holds, and those for which this is unknown."""
SplitSources = Callable[[PacketState, AddressSet], Split]
IndexedBy = Literal["port", "original port", "destination"]


@dataclass(frozen=True, slots=True, eq=False)
class Condition:
    """A condition on anything but the source; `yes` and `no` are the answers in words.

    If `values` are given, the condition can only hold when `field` of the packet is one of them, so a chain
    can skip the rule for all other packets.
    """

    yes: str
    no: str
    decide: Decide
    field: IndexedBy | None = None
    values: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True, eq=False)
class SourceCondition:
    """A condition on the source: it holds for the sources in `fixed`, whatever the rest of the packet.

    Without `fixed`, call `split` with a state and sources to find out for which of them it holds.
    """

    yes: str
    no: str
    fixed: AddressSet | None
    split: SplitSources | None = None


AnyCondition = Condition | SourceCondition


@dataclass(frozen=True, slots=True)
class MatchQuestion:
    """One match of a rule with its options as iptables prints them, and the host around it.

    `protocol` is the rule's own, or None if the rule has none or negates it.
    """

    family: Family
    module: str
    options: tuple[Option, ...]
    protocol: int | None
    surroundings: Surroundings


def condition(
    subject: str,
    value: str,
    negated: bool,
    decide: Decide,
    field: IndexedBy | None = None,
    values: Iterable[int] = (),
) -> Condition:
    """Make a condition from `decide`, negated if the option is."""
    decision = _negate(decide) if negated else decide
    yes, no = words(subject, value, negated)
    return Condition(yes, no, decision, *((None, frozenset()) if negated else (field, frozenset(values))))


def source_in(subject: str, value: str, negated: bool, addresses: AddressSet) -> SourceCondition:
    """Make a condition that holds for a set of sources, or for all others if negated."""
    yes, no = words(subject, value, negated)
    return SourceCondition(yes, no, addresses.complement() if negated else addresses)


def source_split(subject: str, value: str, negated: bool, split: SplitSources) -> SourceCondition:
    """Make a source condition from `split`, negated if the option is."""

    def otherwise(state: PacketState, sources: AddressSet) -> Split:
        holds, unknown = split(state, sources)
        return sources.difference(holds).difference(unknown), unknown

    yes, no = words(subject, value, negated)
    return SourceCondition(yes, no, None, otherwise if negated else split)


def undecided_condition(question: MatchQuestion, option: Option | None = None) -> Condition:
    """Make a condition that cannot be decided."""
    options = question.options if option is None else (option,)
    said = " ".join(
        [f"-m {question.module}" if question.module else "", *(_option_words(one) for one in options)]
    )
    said = said.strip()
    return Condition(
        sentences.option_matches(said), sentences.option_does_not_match(said), lambda state: None
    )


def always(yes: str) -> Condition:
    """Make a condition that holds for every packet."""
    return Condition(yes, yes, lambda state: True)


def never(no: str) -> Condition:
    """Make a condition that holds for no packet."""
    return Condition(no, no, lambda state: False)


def number(text: str) -> int | None:
    """Read a decimal number as iptables prints it; return None if it is something else."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS else None


def words(subject: str, value: str, negated: bool) -> tuple[str, str]:
    """Return in words that the condition holds, and that it does not."""
    holds, fails = sentences.condition_holds(subject, value), sentences.condition_fails(subject, value)
    return (fails, holds) if negated else (holds, fails)


def _negate(decide: Decide) -> Decide:
    def otherwise(state: PacketState) -> bool | None:
        answer = decide(state)
        return None if answer is None else not answer

    return otherwise


def _option_words(option: Option) -> str:
    return " ".join([*(["!"] if option.negated else []), option.name, *option.values])

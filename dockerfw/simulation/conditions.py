"""Owns what one option of a rule asks of a packet: something that holds, does not, or cannot be told.

Conditions come in two kinds, since one walk may stand for many sources: those that look at the source, and
all others. It does not know which options there are; the readers of each match do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from dockerfw.iptables.matches import Option
from dockerfw.iptables.model import Family
from dockerfw.simulation.addresses import AddressSet
from dockerfw.simulation.state import State
from dockerfw.simulation.surroundings import Surroundings

_TOO_LONG = 20

Decide = Callable[[State], bool | None]
Split = Callable[[State, AddressSet], tuple[AddressSet, AddressSet]]
IndexedBy = Literal["port", "original port", "destination"]


@dataclass(frozen=True, slots=True, eq=False)
class Condition:
    """A question about everything but the source; `yes` and `no` say the answer to people.

    Where `values` are given it can only hold when the field `field` of the packet is one of them, so that a
    chain can leave out the rule for all others.
    """

    yes: str
    no: str
    decide: Decide
    field: IndexedBy | None = None
    values: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True, eq=False)
class SourceCondition:
    """A question about the source: `fixed` are those for which it holds, whatever else the packet is.

    Without `fixed`, `split` takes a state and sources, and gives those of them for which it holds, and those
    for which nobody can tell.
    """

    yes: str
    no: str
    fixed: AddressSet | None
    split: Split | None = None


AnyCondition = Condition | SourceCondition


@dataclass(frozen=True, slots=True)
class Asked:
    """What a reader of matches is given: one match with its options as iptables would print them.

    `protocol` is the rule's own, None when it has none or is negated.
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
    """Make a condition of a question that is not negated yet."""
    asked = _negation(decide) if negated else decide
    yes, no = words(subject, value, negated)
    return Condition(yes, no, asked, *((None, frozenset()) if negated else (field, frozenset(values))))


def source_in(subject: str, value: str, negated: bool, addresses: AddressSet) -> SourceCondition:
    """Make a condition that holds for a set of sources, or for all others when negated."""
    yes, no = words(subject, value, negated)
    return SourceCondition(yes, no, addresses.complement() if negated else addresses)


def source_split(subject: str, value: str, negated: bool, split: Split) -> SourceCondition:
    """Make a condition of a question about sources that is not negated yet."""

    def otherwise(state: State, sources: AddressSet) -> tuple[AddressSet, AddressSet]:
        holds, unknown = split(state, sources)
        return sources.difference(holds).difference(unknown), unknown

    yes, no = words(subject, value, negated)
    return SourceCondition(yes, no, None, otherwise if negated else split)


def undecided(asked: Asked, option: Option | None = None) -> Condition:
    """Make a condition that nobody can decide."""
    options = asked.options if option is None else (option,)
    said = " ".join([f"-m {asked.module}" if asked.module else "", *(_option_words(one) for one in options)])
    return Condition(f"{said.strip()} matches", f"{said.strip()} does not match", lambda state: None)


def always(yes: str) -> Condition:
    """Make a condition that holds for every packet."""
    return Condition(yes, yes, lambda state: True)


def never(no: str) -> Condition:
    """Make a condition that holds for no packet."""
    return Condition(no, no, lambda state: False)


def number(text: str) -> int | None:
    """Read a decimal number as iptables prints it; None when it is something else."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < _TOO_LONG else None


def words(subject: str, value: str, negated: bool) -> tuple[str, str]:
    """Say that the condition holds, and that it does not."""
    holds, fails = f"{subject} is {value}", f"{subject} is not {value}"
    return (fails, holds) if negated else (holds, fails)


def _negation(decide: Decide) -> Decide:
    def otherwise(state: State) -> bool | None:
        answer = decide(state)
        return None if answer is None else not answer

    return otherwise


def _option_words(option: Option) -> str:
    return " ".join([*(["!"] if option.negated else []), option.name, *option.values])

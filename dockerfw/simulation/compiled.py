"""One rule compiled for a walk: what it asks, which sources it matches, and what it does."""

from __future__ import annotations

from collections.abc import Sequence

from dockerfw.iptables.model import Family, Rule
from dockerfw.simulation import sentences
from dockerfw.simulation.addresses import AddressSet
from dockerfw.simulation.conditions import Condition, SourceCondition
from dockerfw.simulation.runs import Part
from dockerfw.simulation.state import PacketState
from dockerfw.simulation.targets import Action
from dockerfw.simulation.trace import StepOutcome, TraceStep, Verdict

_NOT_EVALUATED = object()
_MOST_INTERVALS_TO_JOIN = 1024
_ENDING = frozenset({"ACCEPT", "DROP", "REJECT", "RETURN"})


class CompiledRule:
    """One rule; `ends` is True if it can be joined with others to a run.

    Then matching packets leave the chain, and the matching sources are fixed and not in a large set.
    """

    __slots__ = (
        "_verdict",
        "action",
        "conditions",
        "dynamic",
        "ends",
        "position",
        "questions",
        "rule",
        "source",
    )

    def __init__(
        self,
        rule: Rule,
        position: int,
        conditions: tuple[Condition, ...],
        sources: tuple[SourceCondition, ...],
        action: Action,
        family: Family,
    ) -> None:
        self.rule = rule
        self.position = position
        self.conditions = conditions
        self.questions = sources
        self.source = AddressSet.everything(family)
        for source in sources:
            if source.fixed is not None:
                self.source = self.source.intersection(source.fixed)
        self.dynamic = tuple(source for source in sources if source.fixed is None)
        self.action = action
        few = len(self.source.intervals) <= _MOST_INTERVALS_TO_JOIN
        self.ends = action.kind in _ENDING and not self.dynamic and few
        self._verdict: Verdict | None = None

    @property
    def number(self) -> int:
        """The rule's place in its chain, from 1."""
        return self.position + 1

    @property
    def rules(self) -> tuple[CompiledRule, ...]:
        """The rule itself, as if it were a run of one rule."""
        return (self,)

    @property
    def place(self) -> str:
        """The place of the rule, for example `rule 2 of INPUT in filter`."""
        return sentences.rule_place(self.number, self.rule.chain, self.rule.table)

    def matching(self, state: PacketState, sources: AddressSet) -> tuple[AddressSet, AddressSet]:
        """Return the sources that the rule matches, and those for which this is unknown."""
        holds = sources.intersection(self.source)
        unknown = AddressSet.nothing(sources.family)
        for question in self.dynamic:
            assert question.split is not None
            yes, maybe = question.split(state, holds.union(unknown))
            unknown = maybe.union(yes.intersection(unknown))
            holds = yes.intersection(holds)
        return holds, unknown

    def without(self, sources: AddressSet, holds: AddressSet) -> AddressSet:
        """Return the sources that the rule does not match."""
        return sources.difference(holds)

    def parts(self, matched: AddressSet) -> Sequence[Part]:
        """Return the matched sources, each with the verdict of the rule that decides."""
        return ((matched, self.verdict),)

    def rule_for(self, sources: AddressSet) -> CompiledRule:
        """Return the rule that matches these sources."""
        return self

    @property
    def verdict(self) -> Verdict:
        """The verdict of a rule that decides about a packet."""
        if self._verdict is None:
            kind = self.action.kind
            assert kind in ("ACCEPT", "DROP", "REJECT", "UNKNOWN")
            reason = sentences.at_place(self.place, self.action.text) if kind == "UNKNOWN" else ""
            outcome: StepOutcome = "unknown" if kind == "UNKNOWN" else "matched"
            step = TraceStep(self.rule.table, self.rule.chain, self.number, self.rule, outcome, self.why)
            self._verdict = Verdict(kind, self.action.reject_with, reason, step)
        return self._verdict

    @property
    def why(self) -> str:
        """The conditions of the rule and its action."""
        conditions = [question.yes for question in self.questions]
        conditions += [condition.yes for condition in self.conditions]
        return sentences.rule_effect(", ".join(conditions), self.action.text)

    def decide(self, state: PacketState, source: AddressSet) -> bool | None:
        """Return True if the rule matches for one source, and None if that is unknown."""
        answer = all_hold(self.conditions, state) if self.source.holds(source.intervals[0][0]) else False
        if answer is False or not self.dynamic:
            return answer
        holds, unknown = self.matching(state, source)
        return answer if holds else (None if unknown else False)

    def why_not(self, state: PacketState, sources: AddressSet) -> str:
        """Return the first condition that fails."""
        for question in self.questions:
            fixed = question.fixed
            if fixed is not None and not sources.intersection(fixed):
                return question.no
        for condition in self.conditions:
            if condition.decide(state) is False:
                return condition.no
        return next((question.no for question in self.dynamic), sentences.NO_MATCH)


def all_hold(conditions: Sequence[Condition], state: PacketState) -> bool | None:
    """Return True if all conditions hold, False if one fails, else None; each runs once per packet."""
    memo = state.memo
    result: bool | None = True
    for condition in conditions:
        answer = memo.get(condition, _NOT_EVALUATED)
        if answer is _NOT_EVALUATED:
            answer = memo[condition] = condition.decide(state)
        if answer is False:
            return False
        if answer is None:
            result = None
    return result

"""Owns one rule in the form in which a walk meets it: what it asks, which sources it is for, what it does."""

from __future__ import annotations

from collections.abc import Sequence

from dockerfw.iptables.model import Family, Rule
from dockerfw.simulation.addresses import AddressSet
from dockerfw.simulation.conditions import Condition, SourceCondition
from dockerfw.simulation.runs import Part
from dockerfw.simulation.state import State
from dockerfw.simulation.targets import Action
from dockerfw.simulation.trace import Outcome, TraceStep, Verdict

_UNASKED = object()
_ENDING = frozenset({"ACCEPT", "DROP", "REJECT", "RETURN"})


class CompiledRule:
    """One rule; it `ends` a packet's way through the chain when nothing but fixed sources is asked for."""

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
        self.ends = action.kind in _ENDING and not self.dynamic
        self._verdict: Verdict | None = None

    @property
    def number(self) -> int:
        """The rule's place in its chain, from 1."""
        return self.position + 1

    @property
    def rules(self) -> tuple[CompiledRule, ...]:
        """The rule, as a run of one."""
        return (self,)

    @property
    def place(self) -> str:
        """The rule in a few words: which one of which chain."""
        return f"rule {self.number} of {self.rule.chain} in {self.rule.table}"

    def matching(self, state: State, sources: AddressSet) -> tuple[AddressSet, AddressSet]:
        """Return the sources that the rule is for, and those of which nobody can tell."""
        holds = sources.intersection(self.source)
        unknown = AddressSet.nothing(sources.family)
        for question in self.dynamic:
            assert question.split is not None
            yes, maybe = question.split(state, holds.union(unknown))
            unknown = maybe.union(yes.intersection(unknown))
            holds = yes.intersection(holds)
        return holds, unknown

    def without(self, sources: AddressSet, holds: AddressSet) -> AddressSet:
        """Return the sources that go past the rule."""
        return sources.difference(holds)

    def parts(self, matched: AddressSet) -> Sequence[Part]:
        """Say which rule decides about which of the sources that match."""
        return ((matched, self.verdict),)

    def rule_for(self, sources: AddressSet) -> CompiledRule:
        """Return the rule that matches these sources."""
        return self

    @property
    def verdict(self) -> Verdict:
        """The verdict of a rule that ends the way of a packet."""
        if self._verdict is None:
            kind = self.action.kind
            assert kind in ("ACCEPT", "DROP", "REJECT", "UNKNOWN")
            reason = f"{self.place}: {self.action.text}" if kind == "UNKNOWN" else ""
            outcome: Outcome = "unknown" if kind == "UNKNOWN" else "matched"
            step = TraceStep(self.rule.table, self.rule.chain, self.number, self.rule, outcome, self.why)
            self._verdict = Verdict(kind, self.action.reject_with, reason, step)
        return self._verdict

    @property
    def why(self) -> str:
        """Why the rule matches, and what it does then."""
        asked = [question.yes for question in self.questions]
        asked += [condition.yes for condition in self.conditions]
        return f"{', '.join(asked) or 'every packet matches'}: {self.action.text}"

    def decide(self, state: State, source: AddressSet) -> bool | None:
        """Say whether the rule matches for one source; None when that cannot be told."""
        answer = all_hold(self.conditions, state) if self.source.holds(source.intervals[0][0]) else False
        if answer is False or not self.dynamic:
            return answer
        holds, unknown = self.matching(state, source)
        return answer if holds else (None if unknown else False)

    def why_not(self, state: State, sources: AddressSet) -> str:
        """Why the rule does not match."""
        for question in self.questions:
            fixed = question.fixed
            if fixed is not None and not sources.intersection(fixed):
                return question.no
        for condition in self.conditions:
            if condition.decide(state) is False:
                return condition.no
        return next((question.no for question in self.dynamic), "it does not match")


def all_hold(conditions: Sequence[Condition], state: State) -> bool | None:
    """Say whether all conditions hold for a packet, of which each is asked once."""
    memo = state.memo
    answers: bool | None = True
    for condition in conditions:
        answer = memo.get(condition, _UNASKED)
        if answer is _UNASKED:
            answer = memo[condition] = condition.decide(state)
        if answer is False:
            return False
        if answer is None:
            answers = None
    return answers

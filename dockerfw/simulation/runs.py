"""Runs: consecutive rules that differ only in their source, such as a long list of refused addresses."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from heapq import heappop, heappush
from typing import Generic, Protocol, TypeVar

from dockerfw.simulation.addresses import LAST, AddressSet, union_of
from dockerfw.simulation.conditions import Condition
from dockerfw.simulation.state import PacketState
from dockerfw.simulation.targets import Action
from dockerfw.simulation.trace import Verdict

Part = tuple[AddressSet, Verdict]
Segment = tuple[int, int, int]
"""First address, last address, and the index of the rule that decides about them."""

_MAX_CACHED = 8


class RunRule(Protocol):
    """The attributes of a rule that a run uses."""

    action: Action
    position: int
    source: AddressSet

    @property
    def verdict(self) -> Verdict:
        """The rule's verdict."""


R = TypeVar("R", bound=RunRule)
V = TypeVar("V")


class Run(Generic[R]):
    """Consecutive rules with the same conditions and the same action, treated as one."""

    __slots__ = ("_parts", "_rests", "_segments", "action", "conditions", "position", "rules", "source")

    ends = True

    def __init__(
        self, rules: tuple[R, ...], conditions: tuple[Condition, ...], found: Sequence[Segment]
    ) -> None:
        self.rules = rules
        self.position = rules[0].position
        self.conditions = conditions
        self.action = rules[0].action
        self.source = union_of(rules[0].source.family, [rule.source for rule in rules])
        self._segments = tuple(found)
        self._parts: dict[AddressSet, tuple[Part, ...]] = {}
        self._rests: dict[AddressSet, AddressSet] = {}

    def matching(self, state: PacketState, sources: AddressSet) -> tuple[AddressSet, AddressSet]:
        """Return the sources that one of the rules matches; none is unknown."""
        return sources.intersection(self.source), AddressSet.nothing(sources.family)

    def parts(self, matched: AddressSet) -> Sequence[Part]:
        """Return the matched sources, each with the verdict of the rule that decides."""
        if len(matched.intervals) == 1 and matched.intervals[0][0] == matched.intervals[0][1]:
            return ((matched, self.rule_for(matched).verdict),)
        return _get_or_compute(self._parts, matched, lambda: tuple(self._split(matched)))

    def without(self, sources: AddressSet, holds: AddressSet) -> AddressSet:
        """Return the sources that no rule matches."""
        return _get_or_compute(self._rests, sources, lambda: sources.difference(holds))

    def rule_for(self, sources: AddressSet) -> R:
        """Return the rule that matches the first of these sources."""
        first = sources.intervals[0][0]
        beyond = (first, LAST[6], len(self.rules))
        return self.rules[self._segments[bisect_right(self._segments, beyond) - 1][2]]

    def _split(self, matched: AddressSet) -> list[Part]:
        intervals: dict[int, list[tuple[int, int]]] = {}
        for first, last, place in self._segments:
            intervals.setdefault(place, []).append((first, last))
        every = matched == self.source
        found: list[Part] = []
        for place, own in sorted(intervals.items()):
            addresses = AddressSet(matched.family, own)
            if not every:
                addresses = matched.intersection(addresses)
            if addresses:
                found.append((addresses, self.rules[place].verdict))
        return found


def _get_or_compute(known: dict[AddressSet, V], key: AddressSet, make: Callable[[], V]) -> V:
    """Return the cached result for some sources: most services are checked from anywhere."""
    found = known.get(key)
    if found is None:
        if len(known) > _MAX_CACHED:
            known.clear()
        found = known[key] = make()
    return found


def cut_segments(sources: Sequence[AddressSet]) -> list[Segment]:
    """Cut the addresses into segments; the first rule that contains a segment decides about it."""
    starts = sorted(
        (first, place, last) for place, one in enumerate(sources) for first, last in one.intervals
    )
    found: list[Segment] = []
    open_rules: list[tuple[int, int]] = []
    at = 0
    position = 0
    while at < len(starts) or open_rules:
        if not open_rules:
            position = starts[at][0]
        while at < len(starts) and starts[at][0] <= position:
            heappush(open_rules, (starts[at][1], starts[at][2]))
            at += 1
        place, last = open_rules[0]
        if at < len(starts):
            last = min(last, starts[at][0] - 1)
        if found and found[-1][2] == place and found[-1][1] == position - 1:
            found[-1] = (found[-1][0], last, place)
        else:
            found.append((position, last, place))
        position = last + 1
        while open_rules and open_rules[0][1] < position:
            heappop(open_rules)
    return found

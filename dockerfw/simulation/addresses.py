"""Exact sets of addresses of one family, stored as sorted intervals."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    summarize_address_range,
)

from dockerfw.iptables.model import Family
from dockerfw.iptables.networks import family_of
from dockerfw.simulation.remembered import Remembered

Network = IPv4Network | IPv6Network
Interval = tuple[int, int]
"""The first and the last address as numbers."""

_LARGE = 4096
_results: Remembered[tuple[AddressSet, AddressSet, AddressSet]] = Remembered(8_000_000)

BITS: dict[Family, int] = {4: 32, 6: 128}
LAST: dict[Family, int] = {4: 2**32 - 1, 6: 2**128 - 1}


class AddressSet:
    """An immutable set of addresses of one family.

    The intervals are sorted, disjoint and never touch, so that equal sets have equal intervals.
    """

    __slots__ = ("_complement", "_hash", "family", "intervals")

    def __init__(self, family: Family, intervals: Sequence[Interval]) -> None:
        """Store intervals that are already sorted and separate; `of` and `from_intervals` accept any."""
        self.family: Family = family
        self.intervals = tuple(intervals)
        self._hash: int | None = None
        self._complement: AddressSet | None = None

    @classmethod
    def nothing(cls, family: Family) -> AddressSet:
        """Return the empty set."""
        return _NOTHING[family]

    @classmethod
    def everything(cls, family: Family) -> AddressSet:
        """Return the set of all addresses."""
        return _EVERYTHING[family]

    @classmethod
    def of(cls, family: Family, networks: Iterable[Network | str]) -> AddressSet:
        """Return the addresses of networks of this family. Raises ValueError."""
        kind = IPv4Network if family == 4 else IPv6Network
        found = [kind(network) if isinstance(network, str) else network for network in networks]
        return cls.from_intervals(
            family, [(int(one.network_address), int(one.broadcast_address)) for one in found]
        )

    @classmethod
    def single(cls, address: IPv4Address | IPv6Address) -> AddressSet:
        """Return the set of one address."""
        value = int(address)
        return cls(family_of(address), ((value, value),))

    @classmethod
    def from_intervals(cls, family: Family, intervals: Iterable[Interval]) -> AddressSet:
        """Return the set of intervals in any order, which may overlap."""
        joined: list[Interval] = []
        end = -2
        for interval in sorted(intervals):
            first, last = interval
            if first > end + 1:
                joined.append(interval)
                end = last
            elif last > end:
                joined[-1] = (joined[-1][0], last)
                end = last
        return cls(family, joined) if joined else _NOTHING[family]

    def __bool__(self) -> bool:
        return bool(self.intervals)

    def __eq__(self, other: object) -> bool:
        return self is other or (
            isinstance(other, AddressSet)
            and self.family == other.family
            and self.intervals == other.intervals
        )

    def __hash__(self) -> int:
        if self._hash is None:
            self._hash = hash((self.family, self.intervals))
        return self._hash

    def __repr__(self) -> str:
        shown = [str(network) for network in self.networks(8)]
        return f"AddressSet({', '.join(shown) or 'nothing'})"

    def __contains__(self, address: object) -> bool:
        return (
            isinstance(address, (IPv4Address, IPv6Address))
            and address.version == self.family
            and self.holds(int(address))
        )

    def holds(self, value: int) -> bool:
        """Return True if the address with this number is in the set."""
        place = bisect_right(self.intervals, (value, LAST[6])) - 1
        return place >= 0 and self.intervals[place][1] >= value

    @property
    def is_everything(self) -> bool:
        """True if every address is in the set."""
        return self.intervals == ((0, LAST[self.family]),)

    def count(self) -> int:
        """Return the number of addresses."""
        return sum(last - first + 1 for first, last in self.intervals)

    def union(self, other: AddressSet) -> AddressSet:
        """Return the addresses in either set."""
        if not other.intervals or self.is_everything or self is other:
            return self
        if not self.intervals or other.is_everything:
            return other
        return union_of(self.family, (self, other))

    def intersection(self, other: AddressSet) -> AddressSet:
        """Return the addresses in both sets."""
        if self is other or other.is_everything:
            return self
        if self.is_everything:
            return other
        return _compute("intersection", _intersect, self, other)

    def difference(self, other: AddressSet) -> AddressSet:
        """Return the addresses in this set but not in the other."""
        mine, theirs = self.intervals, other.intervals
        if not mine or not theirs:
            return self
        if other.is_everything or self is other:
            return _NOTHING[self.family]
        if self.is_everything:
            return other.complement()
        return _compute("difference", _subtract, self, other)

    def complement(self) -> AddressSet:
        """Return every address that is not in the set."""
        if self._complement is None:
            # Each service asks for the complement of the same long lists of refused sources.
            everything = _EVERYTHING[self.family]
            self._complement = _subtract(everything, self) if self.intervals else everything
        return self._complement

    def networks(self, most: int | None = None) -> Iterator[Network]:
        """Yield the fewest networks that make up the set, in order, at most `most` of them."""
        kind = IPv4Address if self.family == 4 else IPv6Address
        given = 0
        for first, last in self.intervals:
            for network in summarize_address_range(kind(first), kind(last)):
                if most is not None and given == most:
                    return
                given += 1
                yield network

    def cidrs(self) -> tuple[Network, ...]:
        """Return the fewest networks that make up the set, in order."""
        return tuple(self.networks())


def union_of(family: Family, sets: Iterable[AddressSet]) -> AddressSet:
    """Return the addresses in any of the sets."""
    found = [one for one in sets if one.intervals]
    if len(found) == 1:
        return found[0]
    if len(found) == 2:
        return _compute("union", _unite, found[0], found[1])
    return AddressSet.from_intervals(family, [interval for one in found for interval in one.intervals])


def _compute(
    name: str, operate: Callable[[AddressSet, AddressSet], AddressSet], one: AddressSet, other: AddressSet
) -> AddressSet:
    """Return the result of an operation, remembered for large sets: each service meets the same ones."""
    if len(one.intervals) + len(other.intervals) < _LARGE:
        return operate(one, other)
    # The entry holds both sets, so their ids stay theirs.
    key = (name, id(one), id(other))
    known = _results.get(key)
    if known is not None:
        return known[2]
    result = operate(one, other)
    return _results.put(key, (one, other, result), len(one.intervals) + len(other.intervals))[2]


def _unite(one: AddressSet, other: AddressSet) -> AddressSet:
    return AddressSet.from_intervals(one.family, (*one.intervals, *other.intervals))


def _intersect(one: AddressSet, other: AddressSet) -> AddressSet:
    few, many = sorted((one.intervals, other.intervals), key=len)
    found: list[Interval] = []
    for interval in few:
        first, last = interval
        for touching in many[_find_touching(many, first, last)]:
            start, end = touching
            if first <= start and end <= last:
                found.append(touching)
            elif start <= first and last <= end:
                found.append(interval)
            else:
                found.append((max(first, start), min(last, end)))
    return AddressSet(one.family, found) if found else _NOTHING[one.family]


def _subtract(one: AddressSet, other: AddressSet) -> AddressSet:
    mine, theirs = one.intervals, other.intervals
    left = (_cut_few if len(theirs) * 8 < len(mine) else _cut_each)(mine, theirs)
    return AddressSet(one.family, left) if left else _NOTHING[one.family]


def _cut_few(mine: Sequence[Interval], theirs: Sequence[Interval]) -> list[Interval]:
    """Cut a few intervals out of many, which are copied in between."""
    left: list[Interval] = []
    at = 0
    # Of the interval `at`, what is before this address is done.
    begin: int | None = None
    for first, last in theirs:
        cut = _find_touching(mine, first, last)
        if cut.start == cut.stop:
            continue
        if begin is not None and cut.start > at:
            left.append((begin, mine[at][1]))
            at, begin = at + 1, None
        left += mine[at : cut.start]
        start = mine[cut.start][0] if begin is None else begin
        if start < first:
            left.append((start, first - 1))
        ends_later = mine[cut.stop - 1][1] > last
        at, begin = (cut.stop - 1, last + 1) if ends_later else (cut.stop, None)
    if begin is not None:
        left.append((begin, mine[at][1]))
        at += 1
    left += mine[at:]
    return left


def _cut_each(mine: Sequence[Interval], theirs: Sequence[Interval]) -> list[Interval]:
    """Cut many intervals out of each."""
    left: list[Interval] = []
    for interval in mine:
        start, last = interval
        for cut_first, cut_last in theirs[_find_touching(theirs, start, last)]:
            if start < cut_first:
                left.append((start, cut_first - 1))
            start = cut_last + 1
        if start <= last:
            left.append(interval if start == interval[0] else (start, last))
    return left


def _find_touching(intervals: Sequence[Interval], first: int, last: int) -> slice:
    """Return the slice of intervals that share an address with the interval `first` to `last`."""
    start = bisect_left(intervals, (first, -1))
    if start and intervals[start - 1][1] >= first:
        start -= 1
    return slice(start, bisect_right(intervals, (last, LAST[6]), start))


_NOTHING: dict[Family, AddressSet] = {4: AddressSet(4, ()), 6: AddressSet(6, ())}
_EVERYTHING: dict[Family, AddressSet] = {
    4: AddressSet(4, ((0, LAST[4]),)),
    6: AddressSet(6, ((0, LAST[6]),)),
}

"""Groups: the rules that match the same but for their sources, and how the sources of a group are written.

Few sources are lines. More are one line over an ipset (static_sets.py), so that a packet costs the same for
ten sources and for a million. Too many sets would take long to make, so the smaller ones are then lines in a
chain of their own (dispatch.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple

from dockerfw.chains.line_matches import LineMatch
from dockerfw.chains.sources import Sources
from dockerfw.chains.static_sets import StaticSet
from dockerfw.document.fields import port_range
from dockerfw.iptables.model import Family

Form = Literal["lines", "set", "chain"]
"""How the networks of a group are written."""

Row = tuple[tuple[int, int, int], str]
"""A line after the key by which lines are sorted: places of the rule, of its source and of its ports."""


@dataclass(frozen=True, slots=True)
class Thresholds:
    """The sizes at which the compiler changes the form of what it writes.

    A group with up to `lines` sources is lines, and a chain with up to `row` groups is not dispatched.
    `limited_row` is that of limited allowances. `fan_out` is the most ranges that a chain divides its ports
    into: with more, fewer chains follow each other and a packet passes more lines. There are at most `sets`
    sets; with more groups that would need one, those with fewer than `chained` sources get none. They are
    lines up to `inline` sources, since iptables takes long for many chains, and have a chain of their own
    beyond. `has_ip_set` is False on a host that cannot have any set.
    """

    lines: int = 4
    row: int = 16
    limited_row: int = 16
    fan_out: int = 6
    sets: int = 1_000
    chained: int = 64
    inline: int = 8
    has_ip_set: bool = True


USUAL: Final = Thresholds()
WITHOUT_IP_SET: Final = Thresholds(sets=0, has_ip_set=False)
"""For a host that cannot have ipsets: every source is a line."""


class Entry(NamedTuple):
    """The part of one rule in a group; `place` is the rule's place in the document."""

    place: int
    rule_id: str
    sources: Sources


@dataclass(slots=True)
class MatchGroup:
    """The rules with the same match. `source_set` is the name of the set of their networks, if it has one."""

    match: LineMatch
    entries: list[Entry] = field(default_factory=list)
    form: Form = "lines"
    source_set: str = ""
    port_matches: tuple[str, ...] = field(init=False)
    range: tuple[int, int] = field(init=False)
    """The first and last port of a group with one port or range; with none it has every port."""

    def __post_init__(self) -> None:
        """Compute what is asked often."""
        self.port_matches = self.match.port_matches()
        self.range = port_range(self.match.ports[0]) if self.match.ports else (0, 65535)

    @property
    def count(self) -> int:
        """The number of sources, counted again for each rule."""
        return sum([entry.sources.count for entry in self.entries])

    def rows(self) -> Iterator[Row]:
        """Yield the lines of the group; one in a chain of its own is written as lines here."""
        if self.form == "set":
            yield from self._rows_with_set()
            return
        for entry in self.entries:
            for source_place, (source, bound) in enumerate(_written(entry.sources)):
                for at, ports in enumerate(self.port_matches):
                    line = self.match.line(ports, source=source, source_set=bound, rule_id=entry.rule_id)
                    yield (entry.place, source_place, at), line

    def _rows_with_set(self) -> Iterator[Row]:
        """Yield one line for all networks, if there is a set, and one for each other source."""
        seen: set[str] = set()
        for entry in self.entries:
            for at, bound in enumerate([*([""] if entry.sources.anyone else []), *entry.sources.bound]):
                if bound not in seen:
                    seen.add(bound)
                    for port_place, ports in enumerate(self.port_matches):
                        line = self.match.line(ports, source_set=bound, rule_id=entry.rule_id)
                        yield (entry.place, at, port_place), line
        if not self.source_set:
            return
        first, alone = self.entries[0], len({entry.rule_id for entry in self.entries}) == 1
        for at, ports in enumerate(self.port_matches):
            rule_id = first.rule_id if alone else ""
            line = self.match.line(ports, source_set=self.source_set, rule_id=rule_id)
            yield (first.place, first.sources.count, at), line

    def source_lines(self) -> Iterator[str]:
        """Yield the lines of a chain that only packets enter that match the group."""
        bare = LineMatch("", 0, "", "destination", (), "", "", self.match.limit, self.match.target)
        for entry in self.entries:
            for source, bound in _written(entry.sources):
                yield bare.line("", source=source, source_set=bound, rule_id=entry.rule_id)

    def members(self) -> dict[str, tuple[str, ...]]:
        """Return the networks as ipset prints them, with the ids of their rules.

        The set of one rule alone has no ids: its line has the id, and rules with equal sources share the set.
        """
        if len({entry.rule_id for entry in self.entries}) == 1:
            return {_member(network): () for entry in self.entries for network in entry.sources.networks}
        found: dict[str, list[str]] = {}
        for entry in self.entries:
            for network in entry.sources.networks:
                found.setdefault(_member(network), []).append(entry.rule_id)
        return {member: tuple(dict.fromkeys(ids)) for member, ids in found.items()}

    def members_key(self) -> tuple[object, ...]:
        """Return a key that is the same for groups with the same members, without making them."""
        if len({entry.rule_id for entry in self.entries}) == 1:
            return tuple(id(entry.sources) for entry in self.entries)
        return tuple((entry.rule_id, id(entry.sources)) for entry in self.entries)


def _written(sources: Sources) -> list[tuple[str, str]]:
    """Return what a line matches for each source: a network or a bound set, neither for anyone."""
    found = [("", "")] if sources.anyone else []
    found += [(network, "") for network in sources.networks]
    if sources.bound:
        found += [("", name) for name in sources.bound]
    return found


def _member(network: str) -> str:
    return network.removesuffix("/32") if ":" not in network else network.removesuffix("/128")


def group_entries(entries: Iterable[tuple[LineMatch, Entry]]) -> list[MatchGroup]:
    """Return the groups of these parts of rules, in the order of their first ones."""
    groups: dict[LineMatch, MatchGroup] = {}
    for match, entry in entries:
        group = groups.get(match)
        if group is None:
            group = groups[match] = MatchGroup(match)
        group.entries.append(entry)
    return list(groups.values())


def divide_ports(groups: Sequence[MatchGroup]) -> Sequence[MatchGroup]:
    """Return groups with at most one port or range each, as dispatch needs them."""
    if all(len(group.match.ports) <= 1 for group in groups):
        return groups
    return group_entries(
        (match, entry)
        for group in groups
        for match in (
            [group.match.with_port(port) for port in group.match.ports]
            if group.match.ports
            else [group.match]
        )
        for entry in group.entries
    )


def choose_forms(groups: Sequence[MatchGroup], family: Family, limits: Thresholds) -> dict[str, StaticSet]:
    """Decide how each group is written, and return the sets by name."""
    by_key: dict[tuple[object, ...], list[MatchGroup]] = {}
    for group in groups:
        if group.count <= limits.lines:
            continue
        if not any(entry.sources.networks for entry in group.entries):
            group.form = "set"
        else:
            by_key.setdefault(group.members_key(), []).append(group)
    wanted: dict[str, StaticSet] = {}
    users: dict[str, list[MatchGroup]] = {}
    for found in by_key.values():
        one = StaticSet(family, found[0].members())
        wanted.setdefault(one.name, one)
        users.setdefault(one.name, []).extend(found)
    kept = list(wanted)
    if len(kept) > limits.sets:
        large = [name for name in kept if len(wanted[name].members) >= limits.chained]
        kept = sorted(large, key=lambda name: (-len(wanted[name].members), name))[: limits.sets]
    with_set = set(kept)
    for name, found in users.items():
        for group in found:
            if name in with_set:
                group.form, group.source_set = "set", name
            elif group.count > limits.inline:
                group.form = "chain"
    return {name: wanted[name] for name in sorted(with_set)}

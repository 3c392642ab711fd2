"""Dispatch: chains that lead a packet to the few groups for its protocol and port.

A chain with many groups is divided by protocol, then by port through a tree of chains. Packets enter these
chains by `-g`, so that a RETURN in them returns to the caller of the home chain. One that falls off its end
would allow the packet too: so each of these chains ends in an explicit `-g` to what follows, or in a RETURN
where that goes on with the caller, as with blocks.

A range of ports that crosses the borders of a node's children is a line of that node, and is in no child: the
text grows in proportion to the groups, whatever ranges overlap.

Many groups with the same ports are divided by their destinations in the same way, through a tree of networks.
"""

from __future__ import annotations

import hashlib
import re
from bisect import bisect_left
from collections.abc import Collection, Iterable, Mapping, Sequence
from ipaddress import IPv4Network, IPv6Network, ip_network
from itertools import count
from operator import itemgetter
from typing import Final

from dockerfw.chains.line_matches import Space, port_range_match
from dockerfw.chains.match_groups import MatchGroup, Thresholds
from dockerfw.document.fields import port_text

Network = IPv4Network | IPv6Network

CONTINUE: Final = "-j RETURN"
"""The end of chains of blocks, which are called by `-j`: the packet goes on in the calling chain."""

# Fewer groups of a protocol get no chain of their own.
_FEW: Final = 4
_TCP, _UDP = 6, 17
# Each level is one more chain in a row, and divides by the power of two that is not below `fan_out`.
_MOST_LEVELS: Final = 4
_row_order = itemgetter(0)
_LEADS = re.compile(r" -[jg] (FILTERS\S*)$|^-[jg] (FILTERS\S*)$", re.ASCII)


class Following:
    """What follows a phase: lines that end explicitly, in a chain of their own once something leads there."""

    def __init__(self, chains: dict[str, list[str]], name: str, lines: Sequence[str]) -> None:
        """Take the chains to add the chain `name` to when it is needed."""
        self._chains = chains
        self._lines = list(lines)
        self._alone = len(lines) == 1 and (lines[0].startswith("-g ") or lines[0] == CONTINUE)
        self.name = name

    @property
    def used(self) -> bool:
        """True if the lines are in a chain of their own."""
        return self.name in self._chains

    def way(self) -> str:
        """Return the line that leads there."""
        if self._alone:
            return self._lines[0]
        add_chain(self._chains, self.name, self._lines)
        return f"-g {self.name}"

    def lines(self) -> list[str]:
        """Return the lines to end a chain with; call it after all chains that lead there are made."""
        return [f"-g {self.name}"] if self.used else self._lines


class Dispatcher:
    """Writes the chains of one home chain and phase; `prefix` begins their names."""

    def __init__(self, chains: dict[str, list[str]], prefix: str, limits: Thresholds) -> None:
        """Take the chains to add to."""
        self._chains = chains
        self._prefix = prefix
        self._limits = limits

    def dispatch(self, groups: Sequence[MatchGroup], after: Following) -> list[str]:
        """Return the lines of the home chain that lead to the groups, with the end; add all other chains."""
        by_number: dict[int, list[MatchGroup]] = {}
        for group in groups:
            by_number.setdefault(group.match.number, []).append(group)
        rows, guards = rows_of(by_number.pop(0, [])), []
        few: list[MatchGroup] = []
        for number, found in sorted(by_number.items(), key=lambda item: _protocol_order(item[0])):
            if len(found) <= _FEW:
                few += found
                continue
            name = f"{self._prefix}-{number}"
            add_chain(self._chains, name, self._protocol(name, found, after))
            guards.append(f"-p {found[0].match.protocol} -g {name}")
        return [*rows, *guards, *rows_of(few), *after.lines()]

    def _protocol(self, name: str, groups: Sequence[MatchGroup], after: Following) -> list[str]:
        """Return the lines of the chain of a protocol: first by published, then by destination port."""
        spaces: tuple[Space, ...] = ("published", "destination")
        found = {
            space: ported
            for space in spaces
            if (ported := [group for group in groups if group.match.ports and group.match.space == space])
        }
        following, lines = after, [after.way()]
        for space, ported in reversed(found.items()):
            lines = self._tree(f"{name}{space[0]}", ported, following)
            following = Following(self._chains, f"{name}d", lines)
        return [*rows_of(group for group in groups if not group.match.ports), *lines]

    def _tree(
        self, stem: str, groups: Sequence[MatchGroup], after: Following, level: int = 1, start: int = 0
    ) -> list[str]:
        """Return the lines of one node: its groups, then its children, then the end."""
        cuts = _choose_cuts(groups, self._limits)
        if not cuts:
            return [*self._destinations(groups, after), after.way()]
        here: list[MatchGroup] = []
        children: dict[int, list[MatchGroup]] = {}
        for group in groups:
            first, last = group.range
            child = bisect_left(cuts, first + 1)
            crosses = child < len(cuts) and cuts[child] <= last
            (here if crosses else children.setdefault(child, [])).append(group)
        lines, ending = [], ""
        for child, found in sorted(children.items()):
            if len(found) == 1:
                lines += self._leaf(found, after)
                ending = ""
                continue
            begin = cuts[child - 1] if child else start
            name = f"{stem}{level}-{begin}"
            add_chain(self._chains, name, self._tree(stem, found, after, level + 1, begin))
            lines.append(self._guard(found, name))
            ending = f"-g {name}"
        if ending:
            # The last child ends in the same way, so whatever is for no other one goes there unasked.
            return [*rows_of(here), *lines[:-1], ending]
        return [*rows_of(here), *lines, after.way()]

    def _destinations(self, groups: Sequence[MatchGroup], after: Following, level: int = 1) -> list[str]:
        """Return the lines of groups with the same ports, divided by their destinations where these are many.

        A network that is too wide for one child is a line before them. Destinations before and after DNAT are
        not compared with each other, so that only the more frequent kind is divided.
        """
        networks = _networks_of(groups) if len(groups) > self._limits.row else {}
        if len(networks) <= self._limits.row or level > _MOST_LEVELS:
            return self._leaf(groups, after)
        parts = min(self._limits.fan_out, -(-len(networks) // self._limits.row))
        length = _common_length(networks.values()) + max(1, (parts - 1).bit_length())
        here: list[MatchGroup] = []
        children: dict[Network, list[MatchGroup]] = {}
        for group in groups:
            network = networks.get(id(group))
            if network is None or network.prefixlen < length:
                here.append(group)
            else:
                children.setdefault(network.supernet(new_prefix=length), []).append(group)
        lines = rows_of(here)
        for child, found in sorted(children.items()):
            if len(found) == 1:
                lines += self._leaf(found, after)
                continue
            way = found[0].match.towards(str(child))
            name = f"{self._prefix}-t{_digest(way)}"
            add_chain(self._chains, name, [*self._destinations(found, after, level + 1), after.way()])
            lines.append(f"{way} -g {name}")
        return lines

    def _guard(self, groups: Sequence[MatchGroup], name: str) -> str:
        ranges = [group.range for group in groups]
        ports = port_text(min(first for first, _ in ranges), max(last for _, last in ranges))
        match = groups[0].match
        return f"-p {match.protocol} {port_range_match(match.protocol, match.space, ports)} -g {name}"

    def _leaf(self, groups: Sequence[MatchGroup], after: Following) -> list[str]:
        """Return the lines of groups; sources get a chain of their own where no other group has the port."""
        if all(group.form != "chain" for group in groups):
            return rows_of(groups)
        alone = _without_overlap(groups)
        lines = rows_of(group for group in groups if group.form != "chain" or id(group) not in alone)
        for group in groups:
            if group.form == "chain" and id(group) in alone:
                lines.append(self._sources(group, after))
        return lines

    def _sources(self, group: MatchGroup, after: Following) -> str:
        """Add the chain of a group's sources, and return the line that leads there."""
        match = group.match
        ports = group.port_matches[0]
        bare = match.line(ports).removesuffix(f" -j {match.target}").removesuffix(f" {match.limit}").strip()
        name = f"{self._prefix}-s{_digest(bare + match.limit)}"
        add_chain(self._chains, name, [*group.source_lines(), after.way()])
        return f"{bare} -g {name}"


def add_chain(chains: dict[str, list[str]], name: str, lines: list[str]) -> None:
    """Add a chain. Raises ValueError if another one has its name, whose lines would be lost."""
    if chains.setdefault(name, lines) != lines:
        raise ValueError(f"two chains have the name {name}")


def rows_of(groups: Iterable[MatchGroup]) -> list[str]:
    """Return the lines of groups in the order of the document."""
    rows = [row for group in groups for row in group.rows()]
    rows.sort(key=_row_order)
    return [line for _, line in rows]


def depth(chains: Mapping[str, Sequence[str]], start: str) -> int:
    """Return how many chains deep a packet gets from a chain on, at most."""
    known: dict[str, int] = {}
    waiting = [start]
    while waiting:
        name = waiting[-1]
        leads = (_LEADS.search(line) for line in chains[name] if "FILTERS" in line)
        below = {found[1] or found[2] for found in leads if found}
        missing = [each for each in below if each not in known and each in chains]
        if missing:
            waiting += missing
        else:
            known[name] = 1 + max((known[each] for each in below if each in chains), default=0)
            waiting.pop()
    return known[start]


def _networks_of(groups: Iterable[MatchGroup]) -> dict[int, Network]:
    """Return the destinations of groups by the group's id, of the kind that more of them have."""
    before, after = {}, {}
    for group in groups:
        if group.match.to:
            before[id(group)] = group.match.to
        elif destination := group.match.destination:
            after[id(group)] = destination
    chosen = before if len(before) >= len(after) else after
    return {key: ip_network(text) for key, text in chosen.items()}


def _common_length(networks: Collection[Network]) -> int:
    """Return the length of the longest prefix that all networks of a family have in common."""
    first = min(int(network.network_address) for network in networks)
    last = max(int(network.broadcast_address) for network in networks)
    return next(iter(networks)).max_prefixlen - (first ^ last).bit_length()


def _choose_cuts(groups: Sequence[MatchGroup], limits: Thresholds) -> list[int]:
    """Return the first ports of a node's children but the first; none if the groups fit a row or are one.

    Of the borders near an even division, those are taken that the fewest ranges cross.
    """
    if len(groups) <= limits.row:
        return []
    ranges = [group.range for group in groups]
    firsts, lasts = sorted(first for first, _ in ranges), sorted(last for _, last in ranges)
    borders = sorted({first for first in firsts if first > firsts[0]} | {last + 1 for last in lasts[:-1]})
    borders = [border for border in borders if border <= lasts[-1]]
    parts = min(_count_parts(len(groups), limits), len(borders) + 1)
    cuts = set()
    for part in range(1, parts):
        middle, reach = part * len(borders) // parts, max(1, len(borders) // (3 * parts))
        best = middle
        if _crossing(borders[middle], firsts, lasts):
            near = range(max(0, middle - reach), min(len(borders), middle + reach + 1))
            best = min(near, key=lambda at: (_crossing(borders[at], firsts, lasts), abs(at - middle), at))
        cuts.add(borders[best])
    return sorted(cuts)


def _count_parts(groups: int, limits: Thresholds) -> int:
    """Return how many children a node has: the fewest that need no more levels to end in rows."""
    levels = next(level for level in count(1) if limits.row * limits.fan_out**level >= groups)
    return next(parts for parts in count(2) if limits.row * parts**levels >= groups)


def _crossing(border: int, firsts: Sequence[int], lasts: Sequence[int]) -> int:
    """Return how many ranges have ports on both sides of a border."""
    return bisect_left(firsts, border) - bisect_left(lasts, border)


def _without_overlap(groups: Sequence[MatchGroup]) -> set[int]:
    """Return the ids of the groups whose ports no other of these groups has."""
    ordered = sorted(groups, key=lambda group: group.range)
    found: set[int] = set()
    highest = -1
    for at, group in enumerate(ordered):
        first, last = group.range
        free = at + 1 == len(ordered) or ordered[at + 1].range[0] > last
        if free and first > highest and group.match.ports:
            found.add(id(group))
        highest = max(highest, last)
    return found


def _protocol_order(number: int) -> tuple[bool, bool, int]:
    """Most packets are of TCP and UDP, so that these come first."""
    return number != _TCP, number != _UDP, number


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("ascii")).hexdigest()[:12]

"""The rules of a document compiled into chains and sets for one IP version.

render.py adds what does not depend on the rules: established connections, icmp, trusted interfaces. Phases of
a chain that have few groups are lines in the order of the document, as a reader expects them. Others are
dispatched (dispatch.py).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from dockerfw.chains.dispatch import CONTINUE, Dispatcher, Following, add_chain, depth, rows_of
from dockerfw.chains.line_matches import LineMatch, Phase, rule_matches
from dockerfw.chains.match_groups import (
    USUAL,
    Entry,
    MatchGroup,
    Thresholds,
    choose_forms,
    divide_ports,
    group_entries,
)
from dockerfw.chains.names import FILTERS, FILTERS_BLOCK, FILTERS_CONTAINERS, FILTERS_HOST, HOST_DISPATCH
from dockerfw.chains.sources import SourceReader
from dockerfw.chains.static_sets import StaticSet
from dockerfw.document.fields import port_range
from dockerfw.document.values import Document, DocumentRule, Group
from dockerfw.iptables.model import Family

Entries = Sequence[tuple[LineMatch, Entry]]

MOST_DEEP: Final = 13
"""How many of dockerfw's chains may lead to each other: nftables loads at most 16 chains in a row."""

_PREFIXES: Final = {
    FILTERS: "FILTERS-DA",
    FILTERS_CONTAINERS: "FILTERS-DC",
    FILTERS_HOST: HOST_DISPATCH,
    FILTERS_BLOCK: "FILTERS-D",
}
_LETTERS: Final[Mapping[Phase, str]] = {"block": "B", "plain": "", "limited": "L"}
_TO_FILTERS: Final = f"-g {FILTERS}"
_NEVER: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class CompiledRules:
    """The lines of the rules by home chain, each without `-A CHAIN`, with the chains and sets that they need.

    `blocks` come before icmp in their chain. `allowances` end with what follows them, and in FILTERS with
    `refusal`, which is a line or the way to the chain that has it.
    """

    blocks: Mapping[str, tuple[str, ...]]
    allowances: Mapping[str, tuple[str, ...]]
    chains: Mapping[str, tuple[str, ...]]
    sets: tuple[StaticSet, ...]


def compile_rules(
    rules: Iterable[DocumentRule],
    groups: Iterable[Group],
    family: Family,
    refusal: Sequence[str],
    label: str,
    limits: Thresholds = USUAL,
) -> CompiledRules:
    """Compile enabled rules. `refusal` are the last lines of FILTERS, `label` is their comment's match."""
    entries = _by_phase(rules, SourceReader(groups, family), family, limits.has_ip_set)
    for attempt in (limits, *_less_deep(limits)):
        phases = _divided(entries, attempt)
        sets = choose_forms([group for found in phases.values() for group in found.groups], family, attempt)
        compiled = _Compiler(phases, attempt, refusal, label).compile(sets)
        if _is_loadable(compiled):
            break
    return compiled


def grouped_phases(
    document: Document, family: Family, limits: Thresholds = USUAL
) -> Iterator[Sequence[MatchGroup]]:
    """Yield the groups of each phase of each chain, with the form in which their sources are written."""
    rules = [rule for rule in document.rules if rule.enabled]
    entries = _by_phase(rules, SourceReader(document.groups, family), family, limits.has_ip_set)
    phases = _divided(entries, limits)
    choose_forms([group for found in phases.values() for group in found.groups], family, limits)
    for found in phases.values():
        yield found.groups


def _less_deep(limits: Thresholds) -> Iterator[Thresholds]:
    """Yield thresholds for fewer chains in a row: wider trees, then longer chains, and at last no trees."""
    wider = [replace(limits, fan_out=limits.fan_out * factor) for factor in (4, 16)]
    yield from wider
    yield from (replace(each, limited_row=_NEVER) for each in wider)
    yield from (replace(wider[-1], limited_row=_NEVER, row=limits.row * factor) for factor in (4, 16, _NEVER))


@dataclass(frozen=True, slots=True)
class _Phase:
    groups: Sequence[MatchGroup]
    dispatched: bool


Phases = Mapping[tuple[str, Phase], _Phase]


def _by_phase(
    rules: Iterable[DocumentRule], reader: SourceReader, family: Family, has_ip_set: bool = True
) -> dict[tuple[str, Phase], list[tuple[LineMatch, Entry]]]:
    found: dict[tuple[str, Phase], list[tuple[LineMatch, Entry]]] = {}
    for place, rule in enumerate(rules):
        sources = reader.read(rule)
        # Without these only the sources, which were just read, tell the IP versions.
        limited_family = rule.to or rule.protocol == "ipv6-icmp"
        if sources is None or (limited_family and family not in rule.families):
            continue
        entry = Entry(place, rule.id, sources)
        for chain, phase, match in rule_matches(rule, family, has_ip_set=has_ip_set):
            found.setdefault((chain, phase), []).append((match, entry))
    for chain in (FILTERS_HOST, FILTERS_CONTAINERS):
        if limited := found.get((chain, "limited")):
            shielded = list(_shielded(found.get((FILTERS, "plain"), ()), limited, chain))
            if shielded:
                plain = [*found.get((chain, "plain"), ()), *shielded]
                found[chain, "plain"] = sorted(plain, key=lambda pair: pair[1].place)
    return found


def _shielded(plain: Entries, limited: Entries, chain: str) -> Iterator[tuple[LineMatch, Entry]]:
    """Yield the allowances of FILTERS whose packets could meet a limit of the chain before.

    A limit whose table is full drops what reaches it, so these allowances have to come first.
    """
    ranges: dict[int, list[tuple[int, int]]] = {}
    for match, _ in limited:
        ranges.setdefault(match.number, []).extend(_port_ranges(match, chain))
    any_protocol = ranges.get(0, [])
    joined = {number: _joined([*found, *any_protocol]) for number, found in ranges.items()}
    joined[0] = _joined([pair for found in ranges.values() for pair in found])
    for match, entry in plain:
        limits = joined.get(match.number) or _joined(any_protocol)
        if any(_overlaps(limits, first, last) for first, last in _port_ranges(match, chain)):
            yield match, entry


def _port_ranges(match: LineMatch, chain: str) -> list[tuple[int, int]]:
    """Return the ports of packets that a match is about, as published ports.

    A forwarded packet may have another port than the one that was published, so any will do.
    """
    known = bool(match.ports) and (chain == FILTERS_HOST or match.space == "published")
    return [port_range(port) for port in match.ports] if known else [(0, 65535)]


def _joined(ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    joined: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if joined and first <= joined[-1][1] + 1:
            joined[-1] = (joined[-1][0], max(last, joined[-1][1]))
        else:
            joined.append((first, last))
    return joined


def _overlaps(ranges: Sequence[tuple[int, int]], first: int, last: int) -> bool:
    """Return True if one of the separate, sorted ranges has a port of another range."""
    at = bisect_right(ranges, (last, 65536))
    return at > 0 and ranges[at - 1][1] >= first


def _divided(
    entries: Mapping[tuple[str, Phase], Entries], limits: Thresholds
) -> dict[tuple[str, Phase], _Phase]:
    found: dict[tuple[str, Phase], _Phase] = {}
    for key, pairs in entries.items():
        groups = group_entries(pairs)
        dispatched = len(groups) > (limits.limited_row if key[1] == "limited" else limits.row)
        found[key] = _Phase(divide_ports(groups) if dispatched else groups, dispatched)
    return found


class _Compiler:
    def __init__(self, phases: Phases, limits: Thresholds, refusal: Sequence[str], label: str) -> None:
        self._phases = phases
        self._limits = limits
        self._refusal = refusal
        self._label = label
        self._chains: dict[str, list[str]] = {}

    def compile(self, sets: Mapping[str, StaticSet]) -> CompiledRules:
        allowances = {chain: self._allowances(chain) for chain in (FILTERS_HOST, FILTERS_CONTAINERS, FILTERS)}
        blocks = {chain: self._blocks(chain) for chain in (FILTERS_HOST, FILTERS_CONTAINERS)}
        if shared := self._shared_blocks():
            add_chain(self._chains, FILTERS_BLOCK, shared)
        return CompiledRules(
            {chain: tuple(lines) for chain, lines in blocks.items()},
            {chain: tuple(lines) for chain, lines in allowances.items()},
            {name: tuple(self._chains[name]) for name in sorted(self._chains)},
            tuple(sets.values()),
        )

    def _allowances(self, chain: str) -> list[str]:
        prefix = _PREFIXES[chain]
        ending = list(self._refusal) if chain == FILTERS else [_TO_FILTERS]
        end = Following(self._chains, f"{prefix}-END", ending)
        limited = self._phase(chain, "limited", end)
        if (chain, "limited") in self._phases:
            after = Following(self._chains, f"{prefix}-LIMITS", limited)
            lines = self._phase(chain, "plain", after)
        else:
            lines = self._phase(chain, "plain", end)
        if not lines:
            return lines
        if chain == FILTERS and lines[-1].startswith("-g "):
            return [*lines[:-1], f"{self._label} {lines[-1]}"]
        # A packet that FILTERS allows returns to here, where nothing follows.
        return [*lines[:-1], f"-j {FILTERS}"] if lines[-1] == _TO_FILTERS else lines

    def _phase(self, chain: str, phase: Phase, after: Following) -> list[str]:
        found = self._phases.get((chain, phase))
        if found is None:
            return after.lines()
        if not found.dispatched:
            return [*rows_of(found.groups), *after.lines()]
        dispatcher = Dispatcher(self._chains, _PREFIXES[chain] + _LETTERS[phase], self._limits)
        return dispatcher.dispatch(found.groups, after)

    def _blocks(self, chain: str) -> list[str]:
        """Return the lines of blocks for the packets of this chain alone."""
        found = self._phases.get((chain, "block"))
        if found is None or not found.dispatched:
            return rows_of(found.groups) if found else []
        root = f"{_PREFIXES[chain]}B-ROOT"
        add_chain(self._chains, root, self._phase(chain, "block", Following(self._chains, root, [CONTINUE])))
        return [f"-j {root}"]

    def _shared_blocks(self) -> list[str]:
        found = self._phases.get((FILTERS_BLOCK, "block"))
        if found is None or not found.dispatched:
            return rows_of(found.groups) if found else []
        return self._phase(FILTERS_BLOCK, "block", Following(self._chains, FILTERS_BLOCK, [CONTINUE]))


def _is_loadable(compiled: CompiledRules) -> bool:
    """Return True if nftables takes the chains: it counts how many lead to each other, also by `-g`."""
    chains = {**compiled.chains, **compiled.allowances}
    for chain, lines in compiled.blocks.items():
        chains[chain] = (*lines, *chains[chain])
    return all(depth(chains, start) <= MOST_DEEP for start in (FILTERS_HOST, FILTERS_CONTAINERS))

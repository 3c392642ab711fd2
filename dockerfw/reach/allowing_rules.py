"""The dockerfw rules in the kernel that allow given sources, found in the chains that the compiler writes.

A dockerfw rule returns the packets that it allows, so the final verdict comes from Docker's rules or a
policy. Pages show the dockerfw rule as well, which the admin wrote. Packets are followed from where they
enter dockerfw's chains, through the dispatch chains, to every line that allows some of the sources. Also a
line that another one makes needless counts: it would allow them alone.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

from dockerfw.chains.names import OWN_CHAINS, is_own_chain, own_chains, own_rules, rule_id_of
from dockerfw.chains.set_matches import static_set_of
from dockerfw.simulation.addresses import AddressSet
from dockerfw.simulation.compiled import CompiledRule, all_hold
from dockerfw.simulation.moments import seconds_of
from dockerfw.simulation.services import Reach
from dockerfw.simulation.set_members import addresses_by_id
from dockerfw.simulation.simulate import Prepared
from dockerfw.simulation.state import PacketState
from dockerfw.simulation.trace import TraceStep

ENTRIES: Final = frozenset(OWN_CHAINS)
"""The chains by which packets enter dockerfw's rules, which `simulate_service` has to note."""

_TABLE: Final = "filter"
_STARTS: Final = " --datestart "
_START: Final = re.compile(r" --datestart (\S+)", re.ASCII)
# Of very many rules that start at different times, those that start first are told.
_MOST_STARTS: Final = 64


class AllowingRules:
    """Finds the rules of one family that allow sources."""

    def __init__(self, prepared: Prepared) -> None:
        """Take the compiled rules, in which each chain is indexed by port."""
        self._chains = prepared.chains
        self._sets = prepared.surroundings.sets
        self._family = prepared.family
        self._ruleset = prepared.ruleset
        self._moments: list[int] | None = None
        self._in_sets: dict[tuple[str, AddressSet], tuple[str, ...]] = {}

    def find_allowing(self, reach: Reach, sources: AddressSet) -> tuple[str, ...]:
        """Return the ids of the rules that allow some of the sources to a service, in the kernel's order.

        `reach` is the simulator's answer for the service, with ENTRIES noted. A line of which the simulator
        cannot tell whether it matches is left out.
        """
        if not sources:
            return ()
        found: dict[str, None] = {}
        seen: set[tuple[str, PacketState]] = set()
        for name, state in reach.entered:
            for rule in self._lines(name, state, sources, seen):
                if rule.action.kind == "RETURN":
                    found.update(dict.fromkeys(self._ids(rule, state, sources)))
        return tuple(found)

    def find_starting(self, reach: Reach) -> Mapping[str, int]:
        """Return the rules that will allow sources to a service later, by id, with the moment they start.

        Moments are UTC seconds. Whether other rules refuse these sources then is not looked at.
        """
        found: dict[str, int] = {}
        for name, state in reach.entered:
            now = state.at
            for moment in self._starts() if now is not None else ():
                if now is None or moment <= now:
                    continue
                then = replace(state, at=moment)
                for rule in self._lines(name, then, reach.refused, set()):
                    if rule.action.kind == "RETURN" and _start_of(rule.rule.text) == moment:
                        for each in self._ids(rule, then, reach.refused):
                            found.setdefault(each, moment)
        return found

    def _starts(self) -> Sequence[int]:
        """Return the moments at which lines start, the earliest ones."""
        if self._moments is None:
            texts = (
                rule.text
                for chain in own_chains(self._ruleset)
                for rule in own_rules(self._ruleset, chain)
                if _STARTS in rule.text
            )
            self._moments = sorted({moment for text in texts if (moment := _start_of(text)) is not None})
        return self._moments[:_MOST_STARTS]

    def _lines(
        self, name: str, state: PacketState, sources: AddressSet, seen: set[tuple[str, PacketState]]
    ) -> Iterator[CompiledRule]:
        """Yield the lines that a packet may match by its source alone, from a chain on, each once."""
        waiting = [name]
        while waiting:
            name = waiting.pop()
            if (name, state) in seen or (_TABLE, name) not in self._chains:
                continue
            seen.add((name, state))
            onward = []
            for item in self._chains[_TABLE, name].items(state, 0, one_source=True):
                if all_hold(item.conditions, state) is not True:
                    continue
                yield from item.rules
                leads = item.action.kind in ("JUMP", "GOTO") and is_own_chain(item.action.chain)
                if leads and item.matching(state, sources)[0]:
                    onward.append(item.action.chain)
            waiting += reversed(onward)

    def _ids(self, rule: CompiledRule, state: PacketState, sources: AddressSet) -> tuple[str, ...]:
        """Return the rules that a line stands for and that allow some of the sources."""
        if rule.dynamic:
            # What depends on the rest of the packet, such as the set of docker-proxy's ports.
            sources = rule.matching(state, sources)[0]
        if not overlap(rule.source, sources):
            return ()
        own = rule_id_of(rule.rule.text)
        if own is not None:
            return (own,)
        name = static_set_of(rule.rule.text)
        return self._ids_in_set(name, sources) if name else ()

    def _ids_in_set(self, name: str, sources: AddressSet) -> tuple[str, ...]:
        key = (name, sources)
        if key not in self._in_sets:
            found = self._sets.get(name)
            by_id: Mapping[str, AddressSet] = addresses_by_id(found, self._family) if found else {}
            self._in_sets[key] = tuple(each for each, its in by_id.items() if overlap(its, sources))
        return self._in_sets[key]


def _start_of(text: str) -> int | None:
    found = _START.search(text)
    return seconds_of(f"{found[1]}Z") if found else None


def find_blocking(prepared: Prepared, step: TraceStep | None, sources: AddressSet) -> tuple[str, ...]:
    """Return the ids of the blocks by which a step refuses some of the sources; none if it is no block."""
    rule = step.rule if step is not None else None
    if step is None or rule is None or step.table != _TABLE or not is_own_chain(step.chain):
        return ()
    own = rule_id_of(rule.text)
    if own is not None:
        return (own,)
    found = prepared.surroundings.sets.get(static_set_of(rule.text))
    by_id: Mapping[str, AddressSet] = addresses_by_id(found, prepared.family) if found else {}
    return tuple(each for each, its in by_id.items() if overlap(its, sources))


def overlap(one: AddressSet, other: AddressSet) -> bool:
    """Return True if two sets share an address; cheaper than their intersection."""
    if one.is_everything or other.is_everything:
        return bool(one and other)
    few, many = sorted((one.intervals, other.intervals), key=len)
    for first, last in few:
        # The interval before may reach into this one, the next one may begin in it.
        at = bisect_left(many, (first, -1))
        if (at < len(many) and many[at][0] <= last) or (at > 0 and many[at - 1][1] >= first):
            return True
    return False

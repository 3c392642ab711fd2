"""What a load leaves as it is: packets that pass no chain that changes are treated as before.

Most loads change few of thousands of rules. Whatever is not certain counts as changed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from dockerfw.chains.names import without_label
from dockerfw.iptables.model import Chain, Family, Ruleset
from dockerfw.simulation.simulate import Prepared
from dockerfw.simulation.surroundings import IpSet
from dockerfw.simulation.walk import ChainKey

Rules = Mapping[Family, Prepared]
Changed = Mapping[Family, frozenset[ChainKey] | Literal["all"]]
"""The chains of each family, by table and name, in which packets may be treated otherwise."""


def find_changed(before: Rules, after: Rules) -> Changed:
    """Return the chains that differ between the rules before and after a load of the same host.

    A chain also differs if its rules name a set that does, or a chain that only one side has. A label of
    dockerfw's in a comment is no difference. A family that only one side has differs wholly. The compiled
    chains have to be those of the rulesets, which are compared: not ones that replace_chains put in.
    """
    return {
        family: _changed(before[family], after[family]) if family in before and family in after else "all"
        for family in dict.fromkeys((*before, *after))
    }


def _changed(before: Prepared, after: Prepared) -> frozenset[ChainKey] | Literal["all"]:
    first, second = (replace(each.surroundings, sets={}) for each in (before, after))
    unlike = before.family != after.family or before.ruleset.unprinted != after.ruleset.unprinted
    if unlike or first != second or _changes_sets(before.ruleset) or _changes_sets(after.ruleset):
        return "all"
    sets = _unequal(before.surroundings.sets, after.surroundings.sets)
    old, new = (dict(_chains(each.ruleset)) for each in (before, after))
    # A rule that leads to a chain which is only in one of both means something else in each.
    names = {name for _, name in old.keys() ^ new.keys()} | sets
    found = set(old.keys() ^ new.keys())
    for key in old.keys() & new.keys():
        if not _is_equal(old[key], new[key]) or (names and _names_one(old[key], names)):
            found.add(key)
    return frozenset(found)


def _changes_sets(ruleset: Ruleset) -> bool:
    """Return True if rules change members of sets, which then are unknown in the whole ruleset."""
    return any("-j SET" in rule.text for _, chain in _chains(ruleset) for rule in chain.rules)


def _unequal(one: Mapping[str, IpSet], other: Mapping[str, IpSet]) -> set[str]:
    found = {name for name in one.keys() | other.keys() if one.get(name) != other.get(name)}
    # A set of sets means something else when one of these does.
    lists = {each.name for each in (*one.values(), *other.values()) if each.type == "list:set"}
    return found | lists if found else found


def _chains(ruleset: Ruleset) -> Iterator[tuple[ChainKey, Chain]]:
    for table in ruleset.tables.values():
        for chain in table.chains.values():
            yield (table.name, chain.name), chain


def _is_equal(one: Chain, other: Chain) -> bool:
    if (one.policy, one.builtin, len(one.rules)) != (other.policy, other.builtin, len(other.rules)):
        return False
    return all(
        a.text == b.text or without_label(a.text) == without_label(b.text)
        for a, b in zip(one.rules, other.rules, strict=True)
    )


def _names_one(chain: Chain, names: set[str]) -> bool:
    return any(not names.isdisjoint(rule.text.split()) for rule in chain.rules)


@dataclass(frozen=True, slots=True)
class Unchanged:
    """The answer to whether packets that passed some chains are treated as before."""

    changed: Changed

    @property
    def everything(self) -> bool:
        """True if no chain changes."""
        return bool(self.changed) and not any(self.changed.values())

    def holds(self, family: Family, passed: frozenset[ChainKey]) -> bool:
        """Return True if none of the chains that packets passed before changes."""
        found = self.changed.get(family, "all")
        return found != "all" and passed.isdisjoint(found)

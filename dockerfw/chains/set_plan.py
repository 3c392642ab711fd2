"""The plan of static sets: which a load creates, replaces, refills and no longer uses, with their entries."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from dockerfw.chains.names import body
from dockerfw.chains.rendered_rules import Rendering
from dockerfw.chains.static_sets import SetState, StaticSet, static_sets_in
from dockerfw.iptables.model import Chain, Family, Ruleset

_NAME = re.compile(r" --match-set (dockerfw[46]-s[0-9a-f]{20}) ", re.ASCII)


@dataclass(frozen=True, slots=True)
class SetChange:
    """A change of one static set. `entries` is how many it has after the load, 0 for one that goes.

    `kind`: "new" is a set that no rule matched before, "changed" one in the place of another (`before`),
    "refilled" one that another program changed, "gone" one that no rule matches any more. `added` and
    `removed` are the entries that differ, as "NETWORK IDS", None where it is unknown what the set held.
    """

    family: Family
    kind: Literal["new", "changed", "refilled", "gone"]
    name: str
    entries: int
    before: str = ""
    added: tuple[str, ...] | None = None
    removed: tuple[str, ...] | None = None

    @property
    def sign(self) -> str:
        """The sign of the change in a list of differences."""
        return {"new": "+", "gone": "-"}.get(self.kind, "~")

    @property
    def sentence(self) -> str:
        """The change in words, without its family."""
        if self.kind == "new":
            return f"source list {self.name}: {self.entries} networks"
        if self.kind == "gone":
            return f"source list {self.name} is not used any more"
        known = self.added is not None and self.removed is not None
        differs = f", {len(self.added or ())} added, {len(self.removed or ())} removed" if known else ""
        if self.kind == "refilled":
            return f"source list {self.name} is filled again: {self.entries} networks{differs}"
        return f"source list {self.name} in place of {self.before}: {self.entries} networks{differs}"


def plan_sets(
    wanted: Rendering,
    family: Family,
    live: Ruleset,
    *,
    known: Iterable[StaticSet] = (),
    states: Mapping[str, SetState] | None = None,
) -> tuple[SetChange, ...]:
    """Return the changes of a family's static sets by a load; those that stay as they are are left out.

    `known` are sets whose contents are known, such as those of the confirmed revision, and `states` those
    that the kernel holds.
    """
    used = {*static_sets_in(live)}
    contents = {one.name: one for one in known}
    former = _sets_by_place(
        body(rule) for chain in _chains(live) for rule in chain.rules if " --match-set " in rule.text
    )
    places = {
        name: place
        for place, names in _sets_by_place(
            line for lines in wanted.chains.values() for line in lines if " --match-set " in line
        ).items()
        for name in names
    }
    changes = []
    replaced = set()
    for one in wanted.sets:
        if one.name in used:
            state = (states or {}).get(one.name)
            if state is not None and not state.intact:
                changes.append(_refilled(family, one, state))
            continue
        before = next(iter(former.get(places.get(one.name, ""), ())), "")
        replaced.add(before)
        changes.append(_changed(family, one, before, contents.get(before)))
    kept = {one.name for one in wanted.sets}
    for name in sorted(used - kept - replaced):
        old = contents.get(name)
        removed = tuple(sorted(_entries(old))) if old is not None else None
        changes.append(SetChange(family, "gone", name, 0, added=(), removed=removed))
    return tuple(changes)


def _chains(live: Ruleset) -> Iterable[Chain]:
    table = live.tables.get("filter")
    return table.chains.values() if table is not None else ()


def _sets_by_place(lines: Iterable[str]) -> Mapping[str, list[str]]:
    """Return the sets that lines match, by the line without the set's name."""
    places: defaultdict[str, list[str]] = defaultdict(list)
    for line in lines:
        if found := _NAME.search(line):
            places[line.replace(found[1], "")].append(found[1])
    return places


def _entries(one: StaticSet) -> set[str]:
    return {f"{network} {comment}".strip() for network, comment in one.comments.items()}


def _changed(family: Family, one: StaticSet, before: str, old: StaticSet | None) -> SetChange:
    entries = _entries(one)
    count = len(entries)
    if not before:
        return SetChange(family, "new", one.name, count, added=tuple(sorted(entries)), removed=())
    if old is None:
        return SetChange(family, "changed", one.name, count, before)
    former = _entries(old)
    added, removed = tuple(sorted(entries - former)), tuple(sorted(former - entries))
    return SetChange(family, "changed", one.name, count, before, added, removed)


def _refilled(family: Family, one: StaticSet, state: SetState) -> SetChange:
    # What is lost comes back, and what does not belong there goes. The state has only the first of them.
    added = tuple(line[1:] for line in state.lines if line.startswith("-"))
    removed = tuple(line[1:] for line in state.lines if line.startswith("+"))
    complete = (len(added), len(removed)) == (state.lost, state.added) and bool(added or removed)
    return SetChange(
        family,
        "refilled",
        one.name,
        len(one.members),
        added=added if complete else None,
        removed=removed if complete else None,
    )

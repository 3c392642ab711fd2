"""Read the groups of a draft: where each is used, its marks against the base, and who holds an address."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from dockerfw.chains.group_sizes import GroupSize, size_of_entries
from dockerfw.document.document import Document, DocumentRule
from dockerfw.document.document import Group as DocumentGroup
from dockerfw.document.entries import Network, count_families, find_covering, find_inside
from dockerfw.document.groups import rules_naming
from dockerfw.document.rule_fields import group_of
from dockerfw.document.words import describe_count, describe_rule, join_words
from rules.draft.draft_selectors import base_document, draft_document, rule_document
from rules.models import Group, Host, Rule
from rules.seen.memory import Memory

PAGE: Final = 500
Mark = Literal["", "new", "changed", "removed"]
_MOST_NAMED = 3


@dataclass(frozen=True, slots=True)
class GroupState:
    """What a feed, names or countries stand for right now: how many networks, and a sentence about them.

    `tone` is ok, warn, bad, or empty for a state that is neither good nor bad. `is_followed`: the list has a
    page of its own. `size` is that of the version in use, None without one.
    """

    text: str
    tone: str = ""
    ipv4: int = 0
    ipv6: int = 0
    is_followed: bool = False
    size: GroupSize | None = None


GroupStates = Callable[[Host], Mapping[str, GroupState]]
ListFinder = Callable[[Host, Network], Mapping[str, str]]
NOT_FETCHED: Final = GroupState("Not fetched yet. Until then it has no networks.", "warn")
# By a digest of the entries: the entries of 200 former versions of a long group would fill the memory.
_sizes: Memory[GroupSize] = Memory(200)
_readers: list[GroupStates] = []
_finders: list[ListFinder] = []


@dataclass(frozen=True, slots=True)
class GroupRow:
    """One line of the groups page; `version` is 0 for a group that only the base has.

    `state` is None for a static group. `used_by` are the rules of the draft that have it as a source.
    """

    group: DocumentGroup
    version: int
    mark: Mark
    ipv4: int
    ipv6: int
    used_by: tuple[DocumentRule, ...]
    state: GroupState | None

    @property
    def size(self) -> GroupSize | None:
        """Return the merged networks and addresses of the group, None for a list without a version."""
        if self.state is not None:
            return self.state.size
        entries = self.group.entries
        return _sizes.get_or_compute(_digest(entries), lambda: size_of_entries(entries))


def _digest(entries: Sequence[str]) -> bytes:
    return hashlib.sha256("\n".join(entries).encode()).digest()


@dataclass(frozen=True, slots=True)
class Holder:
    """A group that has an address: the entries that cover it, and how many smaller ones lie in it."""

    group: DocumentGroup
    entries: tuple[str, ...]
    inside: int


@dataclass(frozen=True, slots=True)
class FoundAddress:
    """The groups and rules of a draft that hold an address or network.

    `rules` name it among their own sources or hold it through `groups`; `for_anyone` counts the rules for any
    source.
    """

    holders: tuple[Holder, ...]
    rules: tuple[DocumentRule, ...]
    for_anyone: int
    unknown: tuple[str, ...]


def register_group_states(reader: GroupStates) -> None:
    """Let `reader` say what the groups that are not static stand for, by their names."""
    if reader not in _readers:
        _readers.append(reader)


def group_states(host: Host) -> Mapping[str, GroupState]:
    """Return the state of each feed, DNS names and countries of a host, by the name of the group."""
    return {name: state for reader in _readers for name, state in reader(host).items()}


def register_list_finder(finder: ListFinder) -> None:
    """Let `finder` look an address up in groups that are not static: the network that has it, or "", by name.

    Groups without a result count as not searched.
    """
    if finder not in _finders:
        _finders.append(finder)


def find_in_draft(host: Host, network: Network) -> FoundAddress:
    """Return the groups and rules of a draft that hold an address or network, also through lists."""
    lists = {name: found for finder in _finders for name, found in finder(host, network).items()}
    return find_address(draft_document(host), network, lists)


def group_rows(host: Host) -> tuple[GroupRow, ...]:
    """Return the draft's groups by name, then the removed ones."""
    draft, base = draft_document(host), base_document(host)
    applied = {group.name: group for group in (base.groups if base else ())}
    versions = dict(Group.objects.filter(host=host).values_list("name", "version"))
    users, states = users_of_groups(draft), group_states(host)
    rows = [
        _row(group, versions.get(group.name, 0), applied.pop(group.name, None), users, states)
        for group in draft.groups
    ]
    return (*rows, *(_row(gone, 0, gone, users, states) for gone in applied.values()))


def group_row(host: Host, name: str) -> GroupRow | None:
    """Return one group of the draft or, removed, of the base; None when neither has it."""
    return next((row for row in group_rows(host) if row.group.name == name), None)


def group_get(host: Host, name: str) -> Group | None:
    """Return the row of a group of the draft, None when there is none."""
    return Group.objects.filter(host=host, name=name).first()


def rules_with_group(host: Host, name: str) -> Iterator[DocumentRule]:
    """Yield the stored rules that have the group as a source."""
    for rule in Rule.objects.filter(host=host):
        if f"@{name}" in rule.sources:
            yield rule_document(rule)


def users_of_groups(document: Document) -> Mapping[str, tuple[DocumentRule, ...]]:
    """Return the rules that name each group of a document."""
    if not document.groups:
        return {}
    found: dict[str, list[DocumentRule]] = {}
    for rule in document.rules:
        for source in rule.sources:
            if group_of(source):
                found.setdefault(source[1:], []).append(rule)
    return {name: tuple(rules) for name, rules in found.items()}


def describe_users(rules: Sequence[DocumentRule]) -> str:
    """Return the rules that name a group, for the end of a sentence."""
    named = [f"{rule.comment or describe_rule(rule)} ({rule.id})" for rule in rules]
    return f"{describe_count(len(rules), 'rule')}: {join_words(named, most=_MOST_NAMED)}"


def find_address(document: Document, network: Network, lists: Mapping[str, str]) -> FoundAddress:
    """Return the groups and rules of a document that hold an address or network, or parts of it.

    `lists` has what was found in groups that are not static: a network, or an empty text, by name.
    """
    holders = tuple(
        filter(None, (_holder(group, network, lists.get(group.name, "")) for group in document.groups))
    )
    rules = {rule.id: rule for each in holders for rule in rules_naming(document, each.group.name)}
    for rule in document.rules:
        own = tuple(source for source in rule.sources if not group_of(source))
        if own and (_first(find_covering(own, network)) or _first(find_inside(own, network))):
            rules[rule.id] = rule
    return FoundAddress(
        holders,
        tuple(rules.values()),
        sum(1 for rule in document.rules if not rule.sources),
        tuple(group.name for group in document.groups if group.kind != "static" and group.name not in lists),
    )


def _holder(group: DocumentGroup, network: Network, listed: str) -> Holder | None:
    entries = (listed,) if listed else tuple(find_covering(group.entries, network))
    inside = sum(1 for _ in find_inside(group.entries, network))
    return Holder(group, entries, inside) if entries or inside else None


def _first(found: Iterator[str]) -> str | None:
    return next(found, None)


def _row(
    group: DocumentGroup,
    version: int,
    applied: DocumentGroup | None,
    users: Mapping[str, tuple[DocumentRule, ...]],
    states: Mapping[str, GroupState],
) -> GroupRow:
    mark: Mark = ""
    if version == 0:
        mark = "removed"
    elif applied is None:
        mark = "new"
    elif applied != group:
        mark = "changed"
    state = None if group.kind == "static" else states.get(group.name, NOT_FETCHED)
    ipv4, ipv6 = (state.ipv4, state.ipv6) if state else count_families(group.entries)
    used_by = () if version == 0 else users.get(group.name, ())
    return GroupRow(group, version, mark, ipv4, ipv6, used_by, state)

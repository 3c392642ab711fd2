"""The differences between two documents, as lists and as one sentence.

Rules are the same rule if their ids are equal, and groups if their names are. plan.py compares with the
kernel. What becomes reachable by another entry of a group is told by the group alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Final

from dockerfw.document.coverage import first_cover
from dockerfw.document.document import settings_to_json_object
from dockerfw.document.values import Document, DocumentRule, Expectation, Group, Scope, Settings
from dockerfw.document.words import describe_count, describe_network, describe_sources, describe_what

_MAX_NAMED: Final = 3
_PLACES: Final = {"host": "on the host", "container": "in containers"}
# The sentence names a few; comparing thousands of parts with thousands of rules would take many seconds.
_MAX_PARTS: Final = 200
_MAX_COMPARISONS: Final = 200_000


@dataclass(frozen=True, slots=True)
class SettingChange:
    """One setting that differs, with both values as text."""

    name: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class GroupChange:
    """A group that differs; `old` is None for a new one, `new` for a removed one."""

    name: str
    old: Group | None
    new: Group | None

    @property
    def added(self) -> tuple[str, ...]:
        """The entries of a static group that only the new document has."""
        known = set(self.old.entries) if self.old else set()
        return tuple(each for each in self.new.entries if each not in known) if self.new else ()

    @property
    def removed(self) -> tuple[str, ...]:
        """The entries of a static group that only the old document has."""
        known = set(self.new.entries) if self.new else set()
        return tuple(each for each in self.old.entries if each not in known) if self.old else ()


@dataclass(frozen=True, slots=True)
class DocumentDiff:
    """The changes from an old document to a new one; `reach` says what becomes or stops being reachable.

    `expected` are the expectations that only the new document has, `not_expected` those that only the old one
    has.
    """

    settings: tuple[SettingChange, ...]
    added: tuple[DocumentRule, ...]
    removed: tuple[DocumentRule, ...]
    changed: tuple[tuple[DocumentRule, DocumentRule], ...]
    reach: tuple[str, ...] = ()
    expected: tuple[Expectation, ...] = ()
    not_expected: tuple[Expectation, ...] = ()
    groups: tuple[GroupChange, ...] = ()

    @property
    def count(self) -> int:
        """The number of changes."""
        expectations = len(self.expected) + len(self.not_expected)
        rules = len(self.added) + len(self.removed) + len(self.changed)
        return len(self.settings) + len(self.groups) + rules + expectations

    @property
    def sentence(self) -> str:
        """`2 rules added, 1 removed; 5432/tcp becomes reachable from anywhere`."""
        return "; ".join([self.numbers, *self.reach]) if self.count else self.numbers

    @property
    def numbers(self) -> str:
        """The sentence without `reach`: `2 rules added, 1 removed`."""
        rules = ((len(self.added), "added"), (len(self.removed), "removed"), (len(self.changed), "changed"))
        expectations = ((len(self.expected), "added"), (len(self.not_expected), "removed"))
        groups = (
            (sum(1 for each in self.groups if each.old is None), "added"),
            (sum(1 for each in self.groups if each.new is None), "removed"),
            (sum(1 for each in self.groups if each.old and each.new), "changed"),
        )
        parts = [
            *_count_words("rule", rules),
            *_count_words("group", groups),
            *_count_words("expectation", expectations),
        ]
        if self.settings:
            noun = "setting" if len(self.settings) == 1 else "settings"
            parts.append(f"{len(self.settings)} {noun} changed")
        if not parts:
            return "nothing changes"
        return ", ".join(parts)


def diff_documents(old: Document | None, new: Document) -> DocumentDiff:
    """Compare two documents; None stands for a document without rules and with default settings."""
    base = old if old is not None else Document()
    before = {rule.id: rule for rule in base.rules}
    after = {rule.id: rule for rule in new.rules}
    added = tuple(rule for rule in new.rules if rule.id not in before)
    removed = tuple(rule for rule in base.rules if rule.id not in after)
    both = ((before[rule.id], rule) for rule in new.rules if rule.id in before)
    # Mostly it is the same object, and comparing all fields of thousands of rules takes longer.
    changed = tuple((was, rule) for was, rule in both if was is not rule and was != rule)
    icmp_before, icmp_after = _icmp_rules(base.settings), _icmp_rules(new.settings)
    gained = (*added, *(rule for _, rule in changed), *icmp_after)
    lost = (*removed, *(rule for rule, _ in changed), *icmp_before)
    opened = _find_reach(gained, (*base.rules, *icmp_before))
    closed = _find_reach(lost, (*new.rules, *icmp_after))
    reach = (
        *_reach_words(opened, "becomes reachable", "is blocked"),
        *_reach_words(closed, "is no longer reachable", "is no longer blocked"),
    )
    return DocumentDiff(
        _setting_changes(base.settings, new.settings),
        added,
        removed,
        changed,
        reach,
        tuple(each for each in new.expectations if each not in base.expectations),
        tuple(each for each in base.expectations if each not in new.expectations),
        _group_changes(base, new),
    )


def _group_changes(old: Document, new: Document) -> tuple[GroupChange, ...]:
    before = {group.name: group for group in old.groups}
    after = {group.name: group for group in new.groups}
    return tuple(
        GroupChange(name, before.get(name), after.get(name))
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name)
    )


def _count_words(noun: str, counts: Sequence[tuple[int, str]]) -> Iterator[str]:
    """Yield `2 rules added`, `1 removed`, with the noun after the first number only."""
    named = False
    for number, verb in counts:
        if number:
            yield f"{number} {verb}" if named else f"{describe_count(number, noun)} {verb}"
            named = True


def _setting_changes(old: Settings, new: Settings) -> tuple[SettingChange, ...]:
    before, after = settings_to_json_object(old), settings_to_json_object(new)
    return tuple(
        SettingChange(name, _setting_text(before[name]), _setting_text(after[name]))
        for name in before
        if before[name] != after[name]
    )


def _setting_text(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(value) if value else "none"
    return str(value)


def _icmp_rules(settings: Settings) -> tuple[DocumentRule, ...]:
    """Return what the setting allows, as rules."""
    if settings.icmp != "accept":
        return ()
    return tuple(DocumentRule(id=name, scope="host", protocol=name) for name in ("icmp", "ipv6-icmp"))


def _find_reach(rules: Sequence[DocumentRule], others: Sequence[DocumentRule]) -> list[DocumentRule]:
    """Return what the rules allow and none of the others does, one part for each port and place."""
    limit = min(_MAX_PARTS, max(_MAX_NAMED + 1, _MAX_COMPARISONS // max(1, len(others))))
    return [part for part in islice(_split_into_parts(rules), limit) if first_cover(others, part) is None]


def _split_into_parts(rules: Sequence[DocumentRule]) -> Iterator[DocumentRule]:
    for rule in rules:
        places: tuple[Scope, ...] = ("host", "container") if rule.scope == "both" else (rule.scope,)
        if not rule.enabled:
            continue
        for ports in tuple((port,) for port in rule.ports) or ((),):
            for place in places:
                yield replace(rule, scope=place, ports=ports)


def _reach_words(parts: Sequence[DocumentRule], allowed: str, blocked: str) -> Iterator[str]:
    places: dict[tuple[str, str, str], set[str]] = {}
    for part in parts:
        verb = blocked if part.action == "block" else allowed
        key = (describe_what(part), verb, describe_sources(part.sources))
        places.setdefault(key, set()).add(_place(part))
    for (what, verb, source), found in islice(places.items(), _MAX_NAMED):
        # Without a place it is everywhere: rules for containers match all forwarded traffic.
        named = [] if found >= set(_PLACES.values()) else sorted(found)
        yield " ".join((what, verb, source, " and ".join(named))).rstrip()
    if len(places) > _MAX_NAMED:
        verb = allowed if any(part.action == "allow" for part in parts) else blocked
        yield f"and more {verb}"


def _place(part: DocumentRule) -> str:
    if part.container:
        return f"in container {part.container}"
    return f"at {describe_network(part.to)}" if part.to else _PLACES[part.scope]

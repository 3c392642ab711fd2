"""What changed between two documents, as lists and as one sentence for people.

Rules are the same rule when their ids are. It compares documents only; plan.py looks at the kernel.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Final, Literal

from dockerfw.document.coverage import first_cover
from dockerfw.document.document import settings_to_json_object
from dockerfw.document.values import Document, DocumentRule, Expectation, Settings
from dockerfw.document.words import counted, describe_source, describe_what

_NAMED: Final = 3
# The sentence names a few; holding thousands of parts against thousands of rules would take many seconds.
_LOOKED_AT: Final = 200
_COMPARISONS: Final = 200_000


@dataclass(frozen=True, slots=True)
class SettingChange:
    """One setting that differs, with both values as text for people."""

    name: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class DocumentDiff:
    """What turns the old document into the new one; `reach` says who reaches more or less by it.

    `expected` are the expectations that only the new one has, `not_expected` those that only the old one had.
    """

    settings: tuple[SettingChange, ...]
    added: tuple[DocumentRule, ...]
    removed: tuple[DocumentRule, ...]
    changed: tuple[tuple[DocumentRule, DocumentRule], ...]
    reach: tuple[str, ...] = ()
    expected: tuple[Expectation, ...] = ()
    not_expected: tuple[Expectation, ...] = ()

    @property
    def count(self) -> int:
        """The number of changes."""
        expectations = len(self.expected) + len(self.not_expected)
        return len(self.settings) + len(self.added) + len(self.removed) + len(self.changed) + expectations

    @property
    def sentence(self) -> str:
        """`2 rules added, 1 removed; 5432/tcp becomes reachable from anywhere`."""
        return "; ".join([self.numbers, *self.reach]) if self.count else self.numbers

    @property
    def numbers(self) -> str:
        """The sentence without what the documents alone tell of reach: `2 rules added, 1 removed`."""
        rules = ((len(self.added), "added"), (len(self.removed), "removed"), (len(self.changed), "changed"))
        expectations = ((len(self.expected), "added"), (len(self.not_expected), "removed"))
        parts = [*_numbers("rule", rules), *_numbers("expectation", expectations)]
        if self.settings:
            noun = "setting" if len(self.settings) == 1 else "settings"
            parts.append(f"{len(self.settings)} {noun} changed")
        if not parts:
            return "nothing changes"
        return ", ".join(parts)


def diff_documents(old: Document | None, new: Document) -> DocumentDiff:
    """Compare two documents; None stands for one without rules and with the default settings."""
    base = old if old is not None else Document()
    before = {rule.id: rule for rule in base.rules}
    after = {rule.id: rule for rule in new.rules}
    added = tuple(rule for rule in new.rules if rule.id not in before)
    removed = tuple(rule for rule in base.rules if rule.id not in after)
    changed = tuple(
        (before[rule.id], rule) for rule in new.rules if rule.id in before and before[rule.id] != rule
    )
    opened = _reach((*added, *(rule for _, rule in changed)), base.rules)
    closed = _reach((*removed, *(rule for rule, _ in changed)), new.rules)
    reach = (*_reach_words(opened, "becomes reachable"), *_reach_words(closed, "is no longer reachable"))
    return DocumentDiff(
        _setting_changes(base.settings, new.settings),
        added,
        removed,
        changed,
        reach,
        tuple(each for each in new.expectations if each not in base.expectations),
        tuple(each for each in base.expectations if each not in new.expectations),
    )


def _numbers(noun: str, counts: Sequence[tuple[int, str]]) -> Iterator[str]:
    """`2 rules added`, `1 removed`: the noun stands with the first number only."""
    named = False
    for number, verb in counts:
        if number:
            yield f"{number} {verb}" if named else f"{counted(number, noun)} {verb}"
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


def _reach(rules: Sequence[DocumentRule], others: Sequence[DocumentRule]) -> list[DocumentRule]:
    """Return what the rules let through, a port and a place each, and none of the others does."""
    limit = min(_LOOKED_AT, max(_NAMED + 1, _COMPARISONS // max(1, len(others))))
    return [part for part in islice(_parts(rules), limit) if first_cover(others, part) is None]


def _parts(rules: Sequence[DocumentRule]) -> Iterator[DocumentRule]:
    for rule in rules:
        places: tuple[Literal["host", "container"], ...] = (
            ("host", "container") if rule.scope == "both" else (rule.scope,)
        )
        if not rule.enabled:
            continue
        for ports in tuple((port,) for port in rule.ports) or ((),):
            for place in places:
                yield replace(rule, scope=place, ports=ports)


def _reach_words(parts: Sequence[DocumentRule], verb: str) -> Iterator[str]:
    places: dict[tuple[str, str], set[str]] = {}
    for part in parts:
        places.setdefault((describe_what(part), describe_source(part.source)), set()).add(part.scope)
    for (what, source), where in islice(places.items(), _NAMED):
        place = "" if len(where) == 2 else (" on the host" if where == {"host"} else " in containers")
        yield f"{what} {verb} {source}{place}"
    if len(places) > _NAMED:
        yield f"and more {verb}"

"""Find rules and groups of a draft by words."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from dockerfw.document.document import Document, DocumentRule, Group
from dockerfw.document.entries import overlaps, read_network
from dockerfw.document.group_words import describe_group
from dockerfw.document.words import describe_rule
from rules.draft.rule_search_selectors import Searched, rule_search
from rules.models import Host
from rules.seen.memory import Memory

_known: Final = Memory[tuple["RuleEntry", ...]](2)


@dataclass(frozen=True, slots=True)
class RuleEntry:
    """A rule with its description; `words` is what is searched, in one case."""

    rule: DocumentRule
    description: str
    words: str


def find_rules(host: Host, draft: Document, text: str, *, most: int) -> tuple[list[RuleEntry], int]:
    """Return the best `most` rules of the host's draft that match every word, and how many match.

    A number is a port as well: rules that name it come first, then those that include it.
    """
    words = text.split()
    asked = [_as_port(word) for word in words]
    matches = rule_search(" ".join(asked), draft.groups) if any(map(_is_question, asked)) else None
    found = [
        entry
        for entry in _entries(host, draft)
        if all(word in entry.words for word in words)
        or (matches is not None and matches(Searched(entry.rule, "", None)))
    ]
    # Equals stay in the order of the draft.
    return heapq.nsmallest(most, found, key=lambda entry: _rank(entry.rule, text)), len(found)


def find_groups(draft: Document, text: str, *, most: int) -> Iterator[tuple[Group, str]]:
    """Yield up to `most` groups by name, comment or source, or that hold an address; with a description."""
    words = [word.removeprefix("@") for word in text.split()]
    network = read_network(text)
    left = most
    for group in draft.groups:
        if left == 0:
            return
        said = " ".join((group.name, group.comment, group.url, *group.names, *group.countries)).casefold()
        held = network is not None and overlaps(group.entries, network)
        if held or all(word in said for word in words):
            left -= 1
            yield group, group.comment or describe_group(group)


def _rank(rule: DocumentRule, text: str) -> int:
    comment = rule.comment.casefold()
    if text in rule.ports or comment == text:
        return 0
    return 1 if comment.startswith(text) else 2 if text in comment else 3


def _as_port(word: str) -> str:
    return f"port:{word}" if word.isascii() and word.isdigit() and len(word) <= 5 else word


def _is_question(word: str) -> bool:
    """Return True for words that are more than a part of a text: a field, a group, a network."""
    return ":" in word or word.startswith("@") or read_network(word) is not None


def _entries(host: Host, draft: Document) -> tuple[RuleEntry, ...]:
    """Return the rules of the draft in words, made once for each version of it."""
    # The time of creation distinguishes hosts of recreated databases, which reuse keys.
    key = (host.pk, host.created_at, host.draft_version)
    return _known.get_or_compute(key, lambda: tuple(map(_entry, draft.rules)))


def _entry(rule: DocumentRule) -> RuleEntry:
    description = describe_rule(rule)
    parts = (
        *(rule.id, rule.comment, rule.owner, rule.ticket, *rule.tags, rule.container, *rule.sources),
        description,
    )
    return RuleEntry(rule, description, " ".join(parts).casefold())

"""Read the rules of a draft with their hits, and the marks new, changed and removed against the base."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal, cast

from django.db import connection

from dockerfw.document.document import DocumentRule
from dockerfw.document.words import describe_rule, describe_what
from dockerfw.iptables.model import Counters
from dockerfw.messages.snapshot_values import LastUse
from rules.draft.draft_selectors import base_rules, draft_groups, stored_rules
from rules.draft.rule_count_selectors import Count, RuleCounts, rule_counts
from rules.draft.rule_search_selectors import Searched, rule_search
from rules.models import AuditEvent, Host, Rule
from rules.seen.memory import Memory
from rules.seen.snapshot_selectors import SnapshotView

PAGE: Final = 40
_MOST_LABEL: Final = 40
# Of a conflict, and how far back it is looked for who made the other edit.
_MOST_NAMED: Final = 20
_MOST_EVENTS: Final = 500
Mark = Literal["", "new", "changed", "removed"]

_drafted: Memory[tuple[DraftedRule, ...]] = Memory(2)
_tags: Memory[tuple[str, ...]] = Memory(2)


@dataclass(frozen=True, slots=True)
class DraftedRule:
    """A rule of the draft or of the base; `version` is 0 for one that only the base has."""

    version: int
    rule: DocumentRule
    mark: Mark
    base: DocumentRule | None


@dataclass(frozen=True, slots=True)
class RuleRow:
    """One line of the rules page: a rule and what the kernel counted of it."""

    drafted: DraftedRule
    count: Count

    @property
    def key(self) -> str:
        """The id of the rule."""
        return self.drafted.rule.id

    @property
    def version(self) -> int:
        """The version of the rule in the draft, 0 for one that only the base has."""
        return self.drafted.version

    @property
    def rule(self) -> DocumentRule:
        """The rule, as the base has it where the draft has it no more."""
        return self.drafted.rule

    @property
    def mark(self) -> Mark:
        """What the next apply does with the rule, empty for nothing."""
        return self.drafted.mark

    @property
    def base(self) -> DocumentRule | None:
        """The rule in the base, None for a new one."""
        return self.drafted.base

    @property
    def description(self) -> str:
        """The rule in one line."""
        return describe_rule(self.drafted.rule)

    @property
    def name(self) -> str:
        """The comment, or what the rule is about."""
        return self.rule.comment or describe_what(self.rule)

    @property
    def label(self) -> str:
        """The name as buttons carry it: short, and told apart where there is no comment."""
        text = self.rule.comment or self.description
        return text if len(text) <= _MOST_LABEL else f"{text[: _MOST_LABEL - 1]}…"

    @property
    def hits(self) -> Counters | None:
        """The hits, None for a rule that is not loaded, or as long as they are not known."""
        return self.count.hits

    @property
    def last_use(self) -> LastUse | None:
        """The last use, None like the hits."""
        return self.count.last_use

    @property
    def counted_with(self) -> tuple[DocumentRule, ...]:
        """The rules whose lines come first and match packets of this rule too."""
        return self.count.shared


def rule_rows(host: Host, *, query: str = "", snapshot: SnapshotView | None = None) -> tuple[RuleRow, ...]:
    """Return the draft's rules in the order they were added, then the removed ones.

    Every word of `query` has to match, as rule_search_selectors.py says.
    """
    counts = rule_counts(host, snapshot)
    return rows_of(matching_rules(host, drafted_rules(host), counts, query), counts)


def rows_of(rules: Iterable[DraftedRule], counts: RuleCounts) -> tuple[RuleRow, ...]:
    """Return a row for each rule; a page makes those that it shows."""
    return tuple(RuleRow(each, counts.of_rule(each.rule.id)) for each in rules)


def matching_rules(
    host: Host, rules: Sequence[DraftedRule], counts: RuleCounts, query: str
) -> Sequence[DraftedRule]:
    """Return the rules that match every word of a search."""
    if not query.split():
        return rules
    matches = rule_search(query, draft_groups(host))
    return tuple(each for each in rules if matches(searched(each, counts)))


def drafted_rules(host: Host) -> tuple[DraftedRule, ...]:
    """Return the rules of the draft and those that it removes, as of `host.draft_version` at least."""
    # An open transaction may be rolled back, so its reads are not cached under a version.
    if connection.in_atomic_block:
        return tuple(_read(host))
    return _drafted.get_or_compute(_drafted_key(host), lambda: tuple(_read(host)))


def drafted_tags(host: Host) -> tuple[str, ...]:
    """Return the tags of these rules, sorted."""

    def read() -> tuple[str, ...]:
        return tuple(sorted({tag for each in drafted_rules(host) for tag in each.rule.tags}))

    return read() if connection.in_atomic_block else _tags.get_or_compute(_drafted_key(host), read)


def searched(drafted: DraftedRule, counts: RuleCounts) -> Searched:
    """Return what a search reads of a rule."""
    count = counts.of_rule(drafted.rule.id)
    return Searched(drafted.rule, drafted.mark, count.hits, count.last_use)


def rule_get(host: Host, key: str) -> Rule | None:
    """Return a rule of the draft, None when there is none."""
    return Rule.objects.filter(host=host, key=key).first()


def rule_removed(host: Host, key: str) -> dict[str, Any] | None:
    """Return the values of the rule `key` when it was removed last, None when it never was."""
    removals = AuditEvent.objects.filter(host=host, target=key, verb__in=("rule-delete", "rule-restore"))
    event = removals.filter(before__isnull=False, after__isnull=True).first()
    return cast("dict[str, Any]", event.before) if event else None


@dataclass(frozen=True, slots=True)
class OvertakenRule:
    """A rule that another edit changed, or removed, after a page showed it, by whom and when."""

    name: str
    gone: bool
    who: str
    at: datetime | None


def overtaken_rules(host: Host, chosen: Iterable[tuple[str, int]]) -> tuple[OvertakenRule, ...]:
    """Return which of the rules, given as key and version, are others now than a page showed them."""
    rows = {row.key: row for row in rule_rows(host) if row.version}
    changed = [key for key, version in chosen if key not in rows or rows[key].version != version]
    newest = AuditEvent.objects.filter(host=host).order_by("-pk")[:_MOST_EVENTS]
    edits = {target: (who, at) for target, who, at in newest.values_list("target", "actor_name", "at")[::-1]}
    found = []
    for key in changed[:_MOST_NAMED]:
        who, at = edits.get(key, ("", None))
        before = {} if key in rows else rule_removed(host, key) or {}
        name = rows[key].name if key in rows else str(before.get("comment") or key)
        found.append(OvertakenRule(name, key not in rows, who, at))
    return tuple(found)


def rule_page(host: Host, key: str) -> int:
    """Return the page of the unfiltered table that shows a rule of the draft; 1 without such a rule."""
    rule = rule_get(host, key)
    before = Rule.objects.filter(host=host, pk__lt=rule.pk).count() if rule else 0
    return before // PAGE + 1


def _drafted_key(host: Host) -> Hashable:
    return (host.pk, host.created_at, host.draft_version, host.confirmed_revision_id)


def _read(host: Host) -> Iterator[DraftedRule]:
    base = base_rules(host)
    for version, rule in stored_rules(host):
        applied = base.pop(rule.id, None)
        mark: Mark = "new" if applied is None else "" if applied is rule or applied == rule else "changed"
        yield DraftedRule(version, rule, mark, applied)
    for gone in base.values():
        yield DraftedRule(0, gone, "removed", gone)

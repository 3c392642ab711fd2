"""Read the rules of a draft with their hits, and the marks new, changed and removed against the base."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal, cast

from dockerfw.chains.kernel_state import sum_rule_counters
from dockerfw.document.document import DocumentRule
from dockerfw.document.words import describe_rule
from dockerfw.iptables.model import Counters
from rules.draft.draft_selectors import base_rules, rule_document
from rules.models import AuditEvent, Host, Rule
from rules.seen.snapshot_selectors import SnapshotView

PAGE: Final = 100
Mark = Literal["", "new", "changed", "removed"]


@dataclass(frozen=True, slots=True)
class RuleRow:
    """One line of the rules page; `version` is 0 for a rule that only the base has."""

    key: str
    version: int
    rule: DocumentRule
    description: str
    mark: Mark
    base: DocumentRule | None
    hits: Counters | None


def rule_rows(host: Host, *, query: str = "", snapshot: SnapshotView | None = None) -> tuple[RuleRow, ...]:
    """Return the draft's rules in the order they were added, then the removed ones.

    Every word of `query` has to match.
    """
    base = base_rules(host)
    hits = sum_rule_counters(snapshot.rulesets) if snapshot else {}
    rows = [
        _row(stored.version, rule_document(stored), base.pop(stored.key, None), hits)
        for stored in Rule.objects.filter(host=host)
    ]
    rows += [_row(0, gone, gone, hits) for gone in base.values()]
    words = query.casefold().split()
    return tuple(row for row in rows if _matches(row, words))


def rule_get(host: Host, key: str) -> Rule | None:
    """Return a rule of the draft, None when there is none."""
    return Rule.objects.filter(host=host, key=key).first()


def rule_removed(host: Host, key: str) -> dict[str, Any] | None:
    """Return the values of the rule `key` when it was removed last, None when it never was."""
    removals = AuditEvent.objects.filter(host=host, target=key, verb__in=("rule-delete", "rule-restore"))
    event = removals.filter(before__isnull=False, after__isnull=True).first()
    return cast("dict[str, Any]", event.before) if event else None


def rule_page(host: Host, key: str) -> int:
    """Return the page of the unfiltered table that shows a rule of the draft; 1 without such a rule."""
    rule = rule_get(host, key)
    before = Rule.objects.filter(host=host, pk__lt=rule.pk).count() if rule else 0
    return before // PAGE + 1


def _row(version: int, rule: DocumentRule, base: DocumentRule | None, hits: dict[str, Counters]) -> RuleRow:
    mark: Mark = ""
    if version == 0:
        mark = "removed"
    elif base is None:
        mark = "new"
    elif base != rule:
        mark = "changed"
    return RuleRow(
        key=rule.id,
        version=version,
        rule=rule,
        description=describe_rule(rule),
        mark=mark,
        base=base,
        hits=hits.get(rule.id),
    )


def _matches(row: RuleRow, words: list[str]) -> bool:
    if not words:
        return True
    rule = row.rule
    parts = (
        rule.id,
        rule.scope,
        rule.source,
        rule.protocol,
        *rule.ports,
        rule.comment,
        row.description,
        row.mark,
    )
    text = " ".join(parts).casefold()
    return all(word in text for word in words)

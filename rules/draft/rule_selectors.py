"""Read the rules of a draft with their hits, and the marks new, changed and removed against the base."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, cast

from dockerfw.chains.shared_counts import counted_with
from dockerfw.document.document import Document, DocumentRule
from dockerfw.document.words import describe_rule
from dockerfw.iptables.model import Counters
from dockerfw.messages.snapshot_values import LastUse, last_uses_of, limits_of, rule_hits
from rules.draft.draft_selectors import base_document, base_rules, draft_groups, rule_document
from rules.draft.rule_search_selectors import Searched, rule_search
from rules.models import AuditEvent, Host, Rule
from rules.seen.snapshot_selectors import SnapshotView

PAGE: Final = 100
Mark = Literal["", "new", "changed", "removed"]


@dataclass(frozen=True, slots=True)
class RuleRow:
    """One line of the rules page; `version` is 0 for a rule that only the base has.

    `hits` and `last_use` are None for a rule that is not loaded, or as long as they are not known. They
    include those of the rules `counted_with`, whose lines come first and match packets of this rule too.
    """

    key: str
    version: int
    rule: DocumentRule
    description: str
    mark: Mark
    base: DocumentRule | None
    hits: Counters | None
    last_use: LastUse | None = None
    counted_with: tuple[DocumentRule, ...] = ()


def rule_rows(host: Host, *, query: str = "", snapshot: SnapshotView | None = None) -> tuple[RuleRow, ...]:
    """Return the draft's rules in the order they were added, then the removed ones.

    Every word of `query` has to match, as rule_search_selectors.py says.
    """
    base = base_rules(host)
    counted = _Counted.of(snapshot, base_document(host))
    rows = [
        _row(stored.version, rule_document(stored), base.pop(stored.key, None), counted)
        for stored in Rule.objects.filter(host=host)
    ]
    rows += [_row(0, gone, gone, counted) for gone in base.values()]
    if not query.split():
        return tuple(rows)
    matches = rule_search(query, draft_groups(host))
    return tuple(row for row in rows if matches(_searched(row)))


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


def _searched(row: RuleRow) -> Searched:
    return Searched(row.rule, row.mark, row.description, row.hits, row.last_use)


@dataclass(frozen=True, slots=True)
class _Counted:
    """What a host counted by rule id."""

    hits: Mapping[str, Counters]
    uses: Mapping[str, LastUse]
    shared: Mapping[str, tuple[DocumentRule, ...]]

    @classmethod
    def of(cls, view: SnapshotView | None, loaded: Document | None) -> _Counted:
        if view is None:
            return cls({}, {}, {})
        uses = last_uses_of(view.snapshot)
        # A loaded rule without hits may be on the members of a set only, which are not told without hits.
        none: dict[str, Counters] = dict.fromkeys(uses, Counters(0, 0))
        hits = {**none, **rule_hits(view.snapshot, view.rulesets)}
        if loaded is None:
            return cls(hits, uses, {})
        rules = {rule.id: rule for rule in loaded.rules}
        counted = counted_with(loaded, limits_of(view.snapshot))
        shared = {name: tuple(rules[each] for each in ids) for name, ids in counted.items()}
        return cls(hits, uses, shared)

    def of_rule(self, rule_id: str) -> tuple[Counters | None, LastUse | None, tuple[DocumentRule, ...]]:
        """Return hits and last use of a rule, with those of the rules that it is counted with."""
        hits, use, firsts = self.hits.get(rule_id), self.uses.get(rule_id), self.shared.get(rule_id, ())
        for first in firsts:
            if (more := self.hits.get(first.id)) is not None:
                known = hits or Counters(0, 0)
                hits = Counters(known.packets + more.packets, known.bytes + more.bytes)
            other = self.uses.get(first.id)
            use = use.joined_with(other) if use is not None and other is not None else None
        return hits, use, firsts


def _row(version: int, rule: DocumentRule, base: DocumentRule | None, counted: _Counted) -> RuleRow:
    mark: Mark = ""
    if version == 0:
        mark = "removed"
    elif base is None:
        mark = "new"
    elif base != rule:
        mark = "changed"
    hits, last_use, firsts = counted.of_rule(rule.id)
    return RuleRow(
        key=rule.id,
        version=version,
        rule=rule,
        description=describe_rule(rule),
        mark=mark,
        base=base,
        hits=hits,
        last_use=last_use,
        counted_with=firsts,
    )
